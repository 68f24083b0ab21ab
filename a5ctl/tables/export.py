"""Rows of responses as JSON lines, CSV or Parquet."""

import csv
import io
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import IO, Any

from a5ctl.console import json_line
from core.batches import batched
from core.errors import UserError
from core.registry.export import COLUMNS, flat_row

_ROWS_PER_GROUP = 1000
# Full-width signs begin a formula too in some East Asian settings of spreadsheet programs.
_STARTS_FORMULA = re.compile(r"[\s\x00-\x20]*[=+\-@\uff1d\uff0b\uff0d\uff20']")
_PLAIN_NUMBER = re.compile(r"[+-]?[0-9][0-9,]*(\.[0-9]+)?([eE][+-]?[0-9]+)?")

Rows = Iterable[dict[str, Any]]


class ExportFormat(StrEnum):
    """How rows are written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


def write_rows(rows: Rows, file: IO[bytes], form: ExportFormat) -> int:
    """Write rows as they come; returns how many there were.

    Args:
        rows: Nested rows of `core.registry.export`.
        file: Opened for bytes.
        form: JSON lines hold the rows as they are; the other two hold one column per grader and
            field.

    Raises:
        UserError: Parquet is wanted and pyarrow is not installed.
    """
    writers: dict[ExportFormat, Callable[[Rows, IO[bytes]], int]] = {
        ExportFormat.JSONL: _write_jsonl,
        ExportFormat.CSV: _write_csv,
        ExportFormat.PARQUET: _write_parquet,
    }
    return writers[form](rows, file)


def require_parquet() -> None:
    """Fail before any work when Parquet cannot be written.

    Raises:
        UserError: pyarrow is not installed.
    """
    from importlib.util import find_spec

    if find_spec("pyarrow") is None:
        raise UserError(
            "Parquet needs the package pyarrow; install it with pip install 'a5ctl[parquet]', or "
            "choose --format jsonl or csv"
        )


def csv_cell(value: Any) -> Any:
    """A cell that no spreadsheet program runs as a formula.

    Text that would begin one gets an apostrophe in front, and so does text that begins with an
    apostrophe: whoever takes one leading apostrophe off every such cell has the exact text. Plain
    numbers such as `-5` stay as they are.
    """
    if not isinstance(value, str):
        return value
    if _PLAIN_NUMBER.fullmatch(value) or not _STARTS_FORMULA.match(value):
        return value
    return f"'{value}"


def _write_jsonl(rows: Rows, file: IO[bytes]) -> int:
    number = 0
    for row in rows:
        number += 1
        file.write(json_line(row).encode() + b"\n")
    return number


def _write_csv(rows: Rows, file: IO[bytes]) -> int:
    number = 0
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    try:
        # every text in quotes: a bare carriage return in one would end the line for some readers
        writer = csv.DictWriter(text, list(COLUMNS), quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for row in rows:
            number += 1
            writer.writerow({name: _csv_value(value) for name, value in flat_row(row).items()})
        text.flush()
    finally:
        text.detach()
    return number


def _csv_value(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else csv_cell(value)


def _write_parquet(rows: Rows, file: IO[bytes]) -> int:
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    types = {str: pyarrow.string(), int: pyarrow.int64(), bool: pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    number = 0
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        for group in batched(map(flat_row, rows), _ROWS_PER_GROUP):
            number += len(group)
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
    return number
