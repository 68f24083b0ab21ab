"""Insert, or settle for what is there: the statement behind everything that can be merged twice."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, select, text, tuple_

from core.batches import batched
from core.registry.content import SHARED

_KEYS_AT_ONCE = 1000
_LOCK = 0xA5C8
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(:lock, hashtext(current_schema()))")


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
    on_server = connection.dialect.name == "postgresql"
    if on_server:
        # a refused row would use up a number of the sequence there, thousands a minute
        rows = _lacking(connection, table, rows, key)
    if rows and on_server and table.name in SHARED:
        # whoever waits for a name waits for a moment, and not for all that another run stores
        with connection.engine.begin() as short:
            # in another order of the same names two would wait for each other for ever
            short.execute(_ONE_AT_A_TIME, {"lock": _LOCK})
            _insert_unless_taken(short, table, rows, key)
    elif rows:
        _insert_unless_taken(connection, table, rows, key)


def _insert_unless_taken(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> None:
    statement = _insert(connection, table)
    connection.execute(statement.on_conflict_do_nothing(index_elements=key), rows)


def _lacking(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> list[dict[str, Any]]:
    """The rows whose key is not stored yet."""
    columns = [table.c[name] for name in key]
    known: set[tuple[Any, ...]] = set()
    for part in batched(rows, _KEYS_AT_ONCE):
        wanted = tuple_(*columns).in_([tuple(row[name] for name in key) for row in part])
        known |= {tuple(row) for row in connection.execute(select(*columns).where(wanted))}
    return [row for row in rows if tuple(row[name] for name in key) not in known]


def _insert(connection: Connection, table: Table) -> Any:
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)
