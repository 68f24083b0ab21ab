"""Insert, or settle for what is there: the statement behind everything that can be merged twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, select, text, tuple_

from core.batches import batched

STAND_ALONE = ("metric_name", "problem", "protocol")
"""Tables of rows that belong to nobody and mean something without any other row."""

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
    connection.execute(_upsert(connection.dialect, table, tuple(rows[0]), tuple(key)), rows)


def upsert_many(
    connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]], key: Sequence[str]
) -> None:
    """`upsert` for very many rows of plain numbers and texts: made for metrics.

    Args:
        connection: An open write transaction.
        table: Its columns hold what the driver takes as it is.
        rows: A value for every column of the table, in its order.
        key: Columns of a primary key or unique index.
    """
    if not rows:
        return
    names = [column.name for column in table.columns]
    if not connection.dialect.positional:
        upsert(connection, table, [dict(zip(names, row, strict=True)) for row in rows], key)
        return
    # straight to the driver: what SQLAlchemy does with each row costs as much as storing it
    connection.exec_driver_sql(_upsert_text(connection.dialect, table, tuple(key)), list(rows))


@lru_cache(maxsize=16)
def _upsert_text(dialect: Dialect, table: Table, key: tuple[str, ...]) -> str:
    names = tuple(column.name for column in table.columns)
    return str(_upsert(dialect, table, names, key).compile(dialect=dialect))


# making the statement costs more than running it, and a run makes the same one twice a second
@lru_cache(maxsize=32)
def _upsert(dialect: Dialect, table: Table, columns: tuple[str, ...], key: tuple[str, ...]) -> Any:
    statement = _insert(dialect, table)
    changed = {name: statement.excluded[name] for name in columns if name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed)


def insert_new(
    connection: Connection, table: Table, rows: Sequence[dict[str, Any]], key: Sequence[str]
) -> None:
    """Insert rows; where the key is taken, the stored row stays."""
    if connection.dialect.name == "postgresql":
        # a refused row would use up a number of the sequence there, thousands a minute
        rows = _lacking(connection, table, rows, key)
    if not rows:
        return
    if table.name in STAND_ALONE:
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
    statement = _insert(connection.dialect, table)
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


def _insert(dialect: Dialect, table: Table) -> Any:
    if dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        return postgresql_insert(table)
    from sqlalchemy.dialects.sqlite import insert as sqlite_insert

    return sqlite_insert(table)
