"""The two ends of a copy: a source that stands still, and a target that nobody else fills."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from core.batches import batched
from core.errors import UserError
from core.registry.connections import BUSY_TIMEOUT_S
from core.registry.content import tables
from core.registry.database import Database
from core.registry.query.reading import reading
from core.registry.server import refuses_the_row, server_engine

ROWS_AT_ONCE = 2000
_NO_LIMIT = "SET LOCAL idle_in_transaction_session_timeout = 0"

Row = tuple[Any, ...]


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """A connection that only reads, and sees the database as it was when it began.

    Raises:
        RegistryUnavailableError: the database cannot be read.
    """
    if database.path is not None:
        with reading(database) as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection
        return
    engine = server_engine(database.url, BUSY_TIMEOUT_S)
    try:
        with engine.connect() as connection:
            connection = connection.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
            connection.execute(text(_NO_LIMIT))
            yield connection
    except DBAPIError as error:
        raise database.unavailable(error.orig or error) from error
    finally:
        engine.dispose()


@contextmanager
def empty_target(database: Database) -> Iterator[Connection]:
    """One write transaction on a registry that holds nothing, and that nobody else writes to.

    Raises:
        UserError: it holds something, or does not take a row.
        RegistryUnavailableError: it cannot be written.
    """
    try:
        with database.begin() as connection:
            if database.path is None:
                names = ", ".join(f'"{table.name}"' for table in tables())
                connection.execute(text(_NO_LIMIT))
                connection.execute(text(f"LOCK TABLE {names} IN SHARE ROW EXCLUSIVE MODE"))
            _check_empty(connection, database)
            yield connection
    except DBAPIError as error:
        raise _refused(database, error.orig or error) from error


def _check_empty(connection: Connection, database: Database) -> None:
    for table in sorted(tables(), key=lambda table: table.name != "run"):
        if held := count_rows(connection, table):
            what = f"{held} rows of the table {table.name}"
            if table.name == "run":
                what = f"{held} run{'s' if held > 1 else ''}"
            raise UserError(
                f"registry {database.label} holds {what} already, and a copy needs an empty one; "
                "name a new file, or a new database (createdb)"
            )


def count_rows(connection: Connection, table: Table) -> int:
    """How many rows a table has."""
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def stream(connection: Connection, table: Table) -> Iterator[list[Row]]:
    """Every row in the order of its primary key, a batch at a time.

    Text keys are sorted by code point on both kinds of database.
    """
    statement = select(table).order_by(*table.primary_key.columns)
    found = connection.execute(statement, execution_options={"yield_per": ROWS_AT_ONCE})
    with found:
        for rows in batched(found, ROWS_AT_ONCE):
            yield [tuple(row) for row in rows]


def write(database: Database, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows with their keys.

    Raises:
        UserError: the database does not take one of them.
    """
    if database.path is None:
        _copy_in(database, connection, table, rows)
        return
    statement = str(insert(table).compile(dialect=connection.dialect))
    connection.exec_driver_sql(statement, list(rows))


def _copy_in(database: Database, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    import psycopg

    names = ", ".join(f'"{column.name}"' for column in table.columns)
    raw: Any = connection.connection.dbapi_connection
    try:
        with raw.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({names}) FROM STDIN') as to:
            for row in rows:
                to.write_row(row)
    except psycopg.Error as error:
        raise _refused(database, error) from error


def _refused(database: Database, error: BaseException) -> UserError:
    state = str(getattr(error, "sqlstate", None) or "")
    if state.startswith(("22", "23")) or refuses_the_row(error):
        reason = " ".join(str(error).split())[:200]
        return UserError(f"registry {database.label} does not take a row of the copy ({reason})")
    return database.unavailable(error)


def go_on_counting(connection: Connection) -> None:
    """Let new rows on a server get keys behind those that were copied."""
    for table in tables():
        if "key" not in table.columns:
            continue
        sequence = f"pg_get_serial_sequence('\"{table.name}\"', 'key')"
        sql = f'SELECT setval({sequence}, MAX(key)) FROM "{table.name}" HAVING MAX(key) > 0'
        connection.execute(text(sql))
