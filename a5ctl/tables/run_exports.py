"""Tables of runs in CSV or Parquet: a folder with runs, metrics, evaluations and events."""

import csv
import io
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from a5ctl.tables.export import csv_cell, require_parquet
from core.batches import batched
from core.interchange.outgoing import TABLES, Row, table_rows
from core.registry.records import RunRecord
from core.registry.store import Registry

_ROWS_PER_GROUP = 50_000


class RunFormat(StrEnum):
    """How runs are written."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    TENSORBOARD = "tensorboard"


def write_tables(registry: Registry, runs: list[RunRecord], folder: Path, form: RunFormat) -> None:
    """Write each table into a file of its own.

    Args:
        form: CSV or Parquet. In CSV non-finite values are `nan`, `inf` and `-inf`, missing ones
            are empty, and text that would begin a formula gets an apostrophe in front.

    Raises:
        UserError: Parquet is wanted and pyarrow is not installed.
    """
    write = _write_csv if form is RunFormat.CSV else _write_parquet
    for table in TABLES:
        write(table_rows(registry, runs, table), TABLES[table], folder / f"{table}.{form}")


def _write_csv(rows: Iterator[Row], columns: dict[str, type], path: Path) -> None:
    with path.open("wb") as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as text:
        writer = csv.DictWriter(text, list(columns), quoting=csv.QUOTE_NONNUMERIC)
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(row[name]) for name in columns})


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else csv_cell(value)


def _write_parquet(rows: Iterator[Row], columns: dict[str, type], path: Path) -> None:
    require_parquet()
    import pyarrow
    import pyarrow.parquet

    types = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for group in batched(rows, _ROWS_PER_GROUP):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema))
