"""Runs that a filter lets through, sorted and with the fields asked for, in a few queries."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, func, not_, select

from core.errors import UserError
from core.registry.database import Database, RegistryUnavailableError
from core.registry.liveness import LOST, STALE, display_status
from core.registry.query.compiler import Compiler
from core.registry.query.fields import Catalogue, Field
from core.registry.query.operands import Operand, Operands
from core.registry.query.parser import parse_filter
from core.registry.query.reading import reading
from core.registry.query.request import Selection
from core.registry.query.syntax import FieldName, Filter, fields_of
from core.registry.query.tables import RUN
from core.registry.query.tokens import tokenize
from core.registry.run_queries import unsettled_runs

_NEED_LIVENESS = frozenset({"status", "took"})
_ARCHIVED = "archived"
_MOST_NAMES = 60


@dataclass(frozen=True, slots=True)
class SelectedRuns:
    """What was found.

    Attributes:
        uuids: Of the runs, in order.
        fields: The columns asked for.
        rows: Their values, per run; None where a run has none.
        total: How many runs there are without the limit.
        damaged: Short ids of runs that were left out, because their stored settings or tags cannot
            be read.
    """

    uuids: tuple[str, ...]
    fields: tuple[Field, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: int
    damaged: tuple[str, ...] = ()


def select_runs(database: Database, selection: Selection) -> SelectedRuns:
    """Read what is selected: the runs, their number, and what the fields need to be understood.

    Raises:
        UserError: the filter, a field or the order cannot be understood.
    """
    tree = parse_filter(selection.where) if selection.where is not None else None
    order = parse_order(selection.sort) if selection.sort is not None else ()
    columns = parse_names(selection.columns) if selection.columns is not None else ()
    names = (*columns, *(name for name, _ in order), *(fields_of(tree) if tree else ()))
    compiler, operands = _compiler(database, names)
    where = _condition(compiler, tree, selection)
    shown = [compiler.operand(name) for name in columns]
    keys = _order(compiler, order)
    source = operands.joined()
    outputs = [output for operand in shown for output in operand.outputs]
    labelled = [output.label(f"c{number}") for number, output in enumerate(outputs)]
    statement = select(RUN.c.uuid, *labelled).select_from(source).where(where).order_by(*keys)
    counting = select(func.count()).select_from(source).where(where)
    if not database.exists():
        return SelectedRuns((), tuple(operand.field for operand in shown), (), 0)
    damaged: tuple[str, ...] = ()
    try:
        found, total = _read(database, statement, counting, selection.limit)
    except RegistryUnavailableError:
        damaged = _damaged(database)
        if not damaged:
            raise
        sound = RUN.c.id.not_in(damaged)
        found, total = _read(
            database, statement.where(sound), counting.where(sound), selection.limit
        )
    rows = tuple(_values(shown, row[1:]) for row in found)
    fields = tuple(operand.field for operand in shown)
    return SelectedRuns(tuple(row[0] for row in found), fields, rows, total, damaged)


def _read(
    database: Database, statement: Select[Any], counting: Select[Any], limit: int | None
) -> tuple[Sequence[Row[Any]], int]:
    with reading(database) as connection:
        found = connection.execute(statement.limit(limit)).fetchall()
        total = len(found)
        if limit is not None and total >= limit:
            total = int(connection.execute(counting).scalar_one())
    return found, total


def _damaged(database: Database) -> tuple[str, ...]:
    """Runs whose settings or tags are no JSON, which queries stumble over."""
    if database.path is None:
        return ()
    sql = "SELECT id FROM run WHERE NOT (json_valid(config) AND json_valid(tags)) ORDER BY id"
    return tuple(row[0] for row in database.read(sql))


def parse_names(text: str) -> tuple[FieldName, ...]:
    """Names of fields with commas between.

    Raises:
        UserError: one is empty, or there are too many.
    """
    tokenize(text.replace(",", " "))  # refuses what is no text
    names = [part.strip().strip("'\"") for part in text.split(",")]
    if not all(names):
        raise UserError(f"{text!r} has an empty name; write for example id,accuracy,train.lr")
    if len(names) > _MOST_NAMES:
        raise UserError(f"{len(names)} fields were named; at most {_MOST_NAMES} are shown")
    return tuple(FieldName(name, 0) for name in names)


def parse_order(text: str) -> tuple[tuple[FieldName, bool], ...]:
    """Fields to sort by, each with whether the largest comes first.

    Raises:
        UserError: one is empty, or there are too many.
    """
    return tuple(
        (FieldName(name.text.lstrip("+-"), 0), name.text.startswith("-"))
        for name in parse_names(text)
    )


def _compiler(database: Database, names: Sequence[FieldName]) -> tuple[Compiler, Operands]:
    now = time.time()
    metrics: dict[str, int] = {}
    if any("." in name.text for name in names):
        metrics = dict(database.read("SELECT name, key FROM metric_name"))
    quiet: dict[str, list[int]] = {STALE: [], LOST: []}
    if any(name.text in _NEED_LIVENESS for name in names):
        for run in unsettled_runs(database):
            quiet.setdefault(display_status(run, now), []).append(run.key)
    shown = {status: quiet[status] for status in (STALE, LOST)}
    operands = Operands("sqlite" if database.path else "postgresql", now, shown)
    return Compiler(Catalogue(metrics), operands), operands


def _condition(compiler: Compiler, tree: Filter | None, selection: Selection) -> ColumnElement[Any]:
    parts: list[ColumnElement[Any]] = []
    named = tree is not None and any(name.text == _ARCHIVED for name in fields_of(tree))
    if not selection.archived and not named:
        parts.append(not_(RUN.c.archived))
    if selection.kind is not None:
        parts.append(RUN.c.kind == selection.kind)
    if selection.group is not None:
        parts.append(RUN.c.group == selection.group)
    if tree is not None:
        parts.append(compiler.condition(tree))
    return and_(RUN.c.key.is_not(None), *parts)


def _order(compiler: Compiler, order: Sequence[tuple[FieldName, bool]]) -> list[ColumnElement[Any]]:
    """What is missing comes last, whichever way the rest is sorted."""
    keys: list[ColumnElement[Any]] = []
    for name, largest_first in order:
        operand = compiler.operand(name)
        if not operand.order:
            raise UserError(f"runs cannot be sorted by {name.text}: it is a list")
        for value in operand.order:
            keys += [value.is_(None), value.desc() if largest_first else value]
    return [*keys, RUN.c.created.desc(), RUN.c.key.desc()]


def _values(operands: Sequence[Operand], row: Sequence[Any]) -> tuple[Any, ...]:
    values, start = [], 0
    for operand in operands:
        end = start + len(operand.outputs)
        values.append(operand.read(row[start:end]))
        start = end
    return tuple(values)
