"""Insert, or settle for what is there: the statement behind everything that can be merged twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, select, text, tuple_

from core.batches import batched

SHARED = ("metric_name", "problem", "protocol")
"""Tables of rows that stand alone and belong to nobody."""

ALONE = "a5ctl_alone"
"""Option of a connection that needs no other one for rows that belong to nobody."""

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
    if connection.dialect.name == "postgresql":
        # a refused row would use up a number of the sequence there, thousands a minute
        rows = _lacking(connection, table, rows, key)
    if not rows:
        return
    if table.name in SHARED:
        with at_once(connection) as short:
            _insert_unless_taken(short, table, rows, key)
    else:
        _insert_unless_taken(connection, table, rows, key)


@contextmanager
def at_once(connection: Connection) -> Iterator[Connection]:
    """For rows that belong to nobody: on a server a short transaction of their own.

    Whoever waits for such a row waits for a moment then, and not for all that another run stores.
    On SQLite, which has one writer at a time, it is the same transaction.

    Args:
        connection: An open write transaction; what was stored here stays if that one fails.
    """
    if connection.dialect.name != "postgresql" or ALONE in connection.get_execution_options():
        yield connection
        return
    with connection.engine.connect() as other:
        short = other.execution_options(**{ALONE: True})
        with short.begin():
            # in another order of the same rows two would wait for each other for ever
            short.execute(_ONE_AT_A_TIME, {"lock": _LOCK})
            yield short


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
