"""The copy itself: table by table, then the same again to compare."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest

from sqlalchemy import Connection, Table

from core.errors import UserError
from core.registry.content import tables
from core.registry.copying.ends import (
    Row,
    count_rows,
    empty_target,
    go_on_counting,
    snapshot,
    stream,
    write,
)
from core.registry.database import Database
from core.registry.liveness import LOST, display_status
from core.registry.migrate import ensure_schema, schema_version
from core.registry.run_queries import unsettled_runs


class Phase(Enum):
    """What a copy is doing."""

    COPYING = "copying"
    COMPARING = "comparing"


Progress = Callable[[Phase, int, int], None]


@dataclass(frozen=True, slots=True)
class Copied:
    """What came of a copy.

    Attributes:
        source: Where the rows were read, for messages.
        target: Where they went.
        version: Of the tables of both.
        rows: By table.
        different: Rows that were not read back as they were, by table; then nothing was kept.
        alive: Short ids of runs that may go on recording into the source.
    """

    source: str
    target: str
    version: str
    rows: Mapping[str, int]
    different: Mapping[str, int] = field(default_factory=dict)
    alive: tuple[str, ...] = ()


class _DifferentError(Exception):
    """What was read back is not what was written."""


def copy_registry(
    source: Database, target: Database, progress: Progress = lambda *_: None
) -> Copied:
    """Copy everything into an empty registry, and keep it only if every row is the same.

    Both are brought to the tables of this version first, as any command does that opens them. Runs
    that are recorded meanwhile are copied as they were when the copy began.

    Args:
        source: What to read.
        target: Where to; made if it is a file that is not there.
        progress: Called with the rows done and the rows there are.

    Raises:
        UserError: there is no source, the target holds something, both are the same, or one of
            them cannot be used.
    """
    _check(source, target)
    ensure_schema(source)
    ensure_schema(target)
    alive = tuple(run.id for run in unsettled_runs(source) if display_status(run) != LOST)
    different: dict[str, int] = {}
    with snapshot(source) as reading:
        rows = {table.name: count_rows(reading, table) for table in tables()}
        total = sum(rows.values())
        try:
            with empty_target(target) as writing:
                _write_all(reading, target, writing, _counted(Phase.COPYING, total, progress))
                different = _compare_all(
                    reading, writing, _counted(Phase.COMPARING, total, progress)
                )
                if different:
                    raise _DifferentError
                if target.path is None:
                    go_on_counting(writing)
        except _DifferentError:
            pass
    version = schema_version(target) or ""
    return Copied(source.label, target.label, version, rows, different, alive)


def _check(source: Database, target: Database) -> None:
    if not source.exists():
        raise UserError(
            f"there is no registry {source.label}; name what to copy with --from or --home"
        )
    same = source.url == target.url
    if source.path is not None and target.path is not None and target.path.exists():
        same = same or source.path.samefile(target.path)
    if same:
        raise UserError(f"registry {source.label} cannot be copied into itself; name another one")


def _counted(phase: Phase, total: int, progress: Progress) -> Callable[[int], None]:
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        progress(phase, done, total)

    return count


def _write_all(
    reading: Connection, target: Database, writing: Connection, count: Callable[[int], None]
) -> None:
    for table in tables():
        for batch in stream(reading, table):
            write(target, writing, table, batch)
            count(len(batch))


def _compare_all(
    reading: Connection, writing: Connection, count: Callable[[int], None]
) -> dict[str, int]:
    found = {table.name: _differences(reading, writing, table, count) for table in tables()}
    return {name: number for name, number in found.items() if number}


def _differences(
    reading: Connection, writing: Connection, table: Table, count: Callable[[int], None]
) -> int:
    """Rows that are not the same at the same place; one that is missing moves all behind it."""
    number = 0
    for old, new in _side_by_side(stream(reading, table), stream(writing, table)):
        if old != new:
            number += sum(one != other for one, other in zip_longest(old, new))
        count(len(old))
    return number


def _side_by_side(
    old: Iterator[list[Row]], new: Iterator[list[Row]]
) -> Iterator[tuple[list[Row], list[Row]]]:
    return zip_longest(old, new, fillvalue=[])
