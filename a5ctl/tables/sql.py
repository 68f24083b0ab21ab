"""Rows of an SQL statement as a table, JSON or CSV; whatever they hold stays text."""

import csv
import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from a5ctl.console import json_line, plain, printable
from a5ctl.tables.export import csv_cell
from a5ctl.tables.fit import FitColumn, FittedTable, choose_columns, fitted_table, line_width
from core.registry.query.sql import SqlRows

DEFAULT_ROWS = 200
_LEAST_CELLS = 10
_LONGEST_CELL = 500


@dataclass(frozen=True, slots=True)
class SqlTable:
    """Rows that were read for a table; at least one."""

    columns: tuple[FitColumn, ...]

    def fitted(self, console: Console) -> FittedTable:
        """The table, as much of it as fits."""
        return fitted_table(self.columns, console)


def sql_table(found: SqlRows, limit: int) -> tuple[SqlTable | None, bool]:
    """The first rows, and whether there are more; no table where there are none.

    Args:
        found: The rows.
        limit: At most so many; 0 for all.
    """
    rows = list(itertools.islice(found.rows, limit or None))
    if not rows:
        return None, False
    more = next(found.rows, None) is not None
    columns = [
        FitColumn(
            printable(name),
            [plain(_cell(row[place])) for row in rows],
            importance=len(found.names) - place,
            right=all(isinstance(row[place], int | float | None) for row in rows),
            elastic=_LEAST_CELLS,
        )
        for place, name in enumerate(found.names)
    ]
    return SqlTable(tuple(columns)), more


def sql_notes(table: SqlTable, console: Console, *, more: bool) -> list[str]:
    """What the table does not show."""
    kept = {id(column) for column in choose_columns(table.columns, line_width(console))}
    gone = [column for column in table.columns if id(column) not in kept]
    narrow = ", ".join(column.header for column in gone if not column.empty)
    empty = ", ".join(column.header for column in gone if column.empty)
    notes = [f"hidden at this width: {narrow} (a wider terminal, or --json)"] if narrow else []
    notes += [f"only NULL or empty: {empty}"] if empty else []
    if more:
        notes.append("there are more rows; --limit 0 shows all, --json and --csv print all")
    return notes


def write_json(found: SqlRows, limit: int | None) -> None:
    """One JSON array, an object per row, written as the rows come."""
    write = sys.stdout.write
    write("[")
    for number, row in enumerate(_first(found, limit)):
        values = dict(zip(found.names, map(_json_value, row), strict=True))
        write((",\n " if number else "\n ") + json_line(values))
    write("\n]\n")


def write_csv(found: SqlRows, limit: int | None) -> None:
    """CSV with a line of names; nothing in it is run by a spreadsheet or by a terminal."""
    watched = sys.stdout.isatty()
    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
    writer.writerow(printable(name) for name in found.names)
    for row in _first(found, limit):
        cells = [csv_cell(_csv_value(value)) for value in row]
        writer.writerow([printable(c) if watched and isinstance(c, str) else c for c in cells])


def _first(found: SqlRows, limit: int | None) -> Iterator[Sequence[Any]]:
    return itertools.islice(found.rows, limit or None)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    return text if len(text) <= _LONGEST_CELL else text[:_LONGEST_CELL] + "…"


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _csv_value(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value
