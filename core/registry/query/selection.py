"""Runs that a filter lets through, sorted and with the fields asked for, in a few queries."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.errors import UserError
from core.registry.database import Database, RegistryUnavailableError, Row
from core.registry.liveness import LOST, STALE, display_status
from core.registry.query.compiler import Compiler
from core.registry.query.fields import Catalogue, Field
from core.registry.query.operands import Expression, Operand, Operands
from core.registry.query.parser import parse_filter
from core.registry.query.request import Selection
from core.registry.query.syntax import FieldName, Filter, fields_of
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
    where = _condition(compiler, operands, tree, selection)
    shown = [compiler.operand(name) for name in columns]
    keys = _order(compiler, order)
    outputs = ", ".join(("r.uuid", *(output for one in shown for output in one.outputs)))
    what = _Statement(outputs, f"{operands.joined()} WHERE {where}", keys, operands.values)
    damaged: tuple[str, ...] = ()
    try:
        found, total = what.read(database, selection.limit)
    except RegistryUnavailableError:
        damaged = _damaged(database)
        if not damaged:
            raise
        found, total = what.without(damaged).read(database, selection.limit)
    rows = tuple(_values(shown, row[1:]) for row in found)
    fields = tuple(operand.field for operand in shown)
    return SelectedRuns(tuple(row[0] for row in found), fields, rows, total, damaged)


@dataclass(frozen=True, slots=True)
class _Statement:
    """What is read, in SQL.

    Attributes:
        outputs: Behind SELECT.
        source: Behind FROM, with the conditions.
        order: Behind ORDER BY.
        values: Bound parameters.
    """

    outputs: str
    source: str
    order: str
    values: Mapping[str, Any]

    def without(self, ids: Sequence[str]) -> "_Statement":
        """The same without these runs."""
        left_out = {f"without{number}": id_ for number, id_ in enumerate(ids)}
        source = f"{self.source} AND r.id NOT IN ({', '.join(f':{name}' for name in left_out)})"
        return replace(self, source=source, values={**self.values, **left_out})

    def read(self, database: Database, limit: int | None) -> tuple[list[Row], int]:
        """The first rows, and how many there are."""
        sql = f"SELECT {self.outputs} FROM {self.source} ORDER BY {self.order}"
        if limit is None:
            found = database.read(sql, self.values)
            return found, len(found)
        found = database.read(f"{sql} LIMIT :most", {**self.values, "most": limit})
        if len(found) < limit:
            return found, len(found)
        counted = database.read(f"SELECT COUNT(*) FROM {self.source}", self.values)
        return found, int(counted[0][0]) if counted else 0


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


def _condition(
    compiler: Compiler, operands: Operands, tree: Filter | None, selection: Selection
) -> Expression:
    parts = ["r.key IS NOT NULL"]
    named = tree is not None and any(name.text == _ARCHIVED for name in fields_of(tree))
    if not selection.archived and not named:
        parts.append("NOT r.archived")
    if selection.kind is not None:
        parts.append(f"r.kind = {operands.bind(selection.kind)}")
    if selection.group is not None:
        parts.append(f'r."group" = {operands.bind(selection.group)}')
    if tree is not None:
        parts.append(compiler.condition(tree))
    return " AND ".join(parts)


def _order(compiler: Compiler, order: Sequence[tuple[FieldName, bool]]) -> Expression:
    """What is missing comes last, whichever way the rest is sorted."""
    keys: list[Expression] = []
    for name, largest_first in order:
        operand = compiler.operand(name)
        if not operand.order:
            raise UserError(f"runs cannot be sorted by {name.text}: it is a list")
        for value in operand.order:
            keys += [f"{value} IS NULL", f"{value} DESC" if largest_first else value]
    return ", ".join((*keys, "r.created DESC", "r.key DESC"))


def _values(operands: Sequence[Operand], row: Sequence[Any]) -> tuple[Any, ...]:
    values, start = [], 0
    for operand in operands:
        end = start + len(operand.outputs)
        values.append(operand.read(row[start:end]))
        start = end
    return tuple(values)
