"""Rows that belong to nothing any more."""

import sqlite3
from collections.abc import Iterator

from sqlalchemy import Table

from core.registry.schema import SQLModel

# without an owner by design; a handful of metric names is not worth a scan of all values
_SHARED = ("problem", "protocol")


def count_orphans(connection: sqlite3.Connection) -> dict[str, int]:
    """Rows by table whose owner is gone, and shared rows that nothing refers to.

    What belongs to these in turn, and goes with them, is not counted.
    """
    counted = {}
    for name, condition in _conditions():
        sql = f'SELECT COUNT(*) FROM "{name}" AS t WHERE {condition}'
        counted[name] = int(connection.execute(sql).fetchone()[0])
    return {name: count for name, count in counted.items() if count}


def delete_orphans(connection: sqlite3.Connection) -> dict[str, int]:
    """Delete them in the open transaction, owners before what they own.

    Args:
        connection: One on which SQLite does not enforce references.

    Returns:
        Rows by table that went.
    """
    gone = {}
    for name, condition in _conditions():
        sql = f'DELETE FROM "{name}" AS t WHERE {condition}'
        gone[name] = connection.execute(sql).rowcount
    return {name: count for name, count in gone.items() if count}


def _conditions() -> Iterator[tuple[str, str]]:
    tables = SQLModel.metadata.sorted_tables
    for table in tables:
        lost = [
            f'(t."{column}" IS NOT NULL AND NOT EXISTS '
            f'(SELECT 1 FROM "{owner}" AS o WHERE o.key = t."{column}"))'
            for column, owner in _references(table)
        ]
        if lost:
            yield table.name, " OR ".join(lost)
    for name in _SHARED:
        unused = [
            f't.key NOT IN (SELECT "{column}" FROM "{table.name}" WHERE "{column}" IS NOT NULL)'
            for table in tables
            for column, owner in _references(table)
            if owner == name
        ]
        yield name, " AND ".join(unused)


def _references(table: Table) -> list[tuple[str, str]]:
    """(column, table that it points to)."""
    return [(key.parent.name, key.column.table.name) for key in table.foreign_keys]
