"""Insert, or settle for what is there: the statement behind everything that can be merged twice."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table


def upsert(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows; where the key is taken, the stored row takes the new values.

    Args:
        connection: An open write transaction.
        rows: All with the same columns.
        key: Columns of a primary key or unique index.
    """
    if not rows:
        return
    statement = _insert(connection, table)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in key}
    connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), rows)


def insert_new(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows; where the key is taken, the stored row stays."""
    if rows:
        statement = _insert(connection, table).on_conflict_do_nothing(index_elements=key)
        connection.execute(statement, rows)


def _insert(connection: Connection, table: Table) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)
