"""Tables on a PostgreSQL server: alone while they are made, and holding what SQLite's hold."""

from sqlalchemy import BigInteger, Connection, text

from core.registry.schema import SQLModel
from core.registry.upsert import ALONE

_LOCK = 0xA5C7
_PATIENCE_S = 120
# in the order in which they were made: a later one may read an earlier one
_VIEWS = """SELECT c.relname, pg_get_viewdef(c.oid) FROM pg_class c
    WHERE c.relkind = 'v' AND c.relnamespace = CAST(current_schema() AS regnamespace)
    ORDER BY c.oid"""


def alone(connection: Connection) -> None:
    """Wait until no other process upgrades this database; the lock goes with the transaction.

    Raises:
        sqlalchemy.exc.OperationalError: it takes too long.
    """
    # another connection would not see the tables that are made here
    connection.execution_options(**{ALONE: True})
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE_S}s'"))
    place = {"lock": _LOCK}
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:lock, hashtext(current_schema()))"), place
    )


def server_tables(connection: Connection) -> set[str]:
    """Names of all tables, also of those that this login may not look into."""
    sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return set(connection.execute(text(sql)).scalars())


def encoding(connection: Connection) -> str:
    """How the database holds text."""
    return str(connection.execute(text("SHOW server_encoding")).scalar_one())


def match_sqlite(connection: Connection) -> None:
    """Make columns hold and sort what SQLite's do.

    Text sorts by code point, whatever the language of the database is, so that both give the same
    lists; columns that the tables declare as wide are. Views stand in the way of that, and are
    made again.
    """
    changes = _changes(connection)
    views = connection.execute(text(_VIEWS)).all() if changes else []
    for name, _ in reversed(views):
        connection.execute(text(f'DROP VIEW "{name}"'))
    for change in changes:
        connection.execute(text(change))
    for name, definition in views:
        connection.exec_driver_sql(f'CREATE VIEW "{name}" AS {definition}'.replace("%", "%%"))


def _changes(connection: Connection) -> list[str]:
    sql = """SELECT table_name, column_name, data_type, collation_name
        FROM information_schema.columns WHERE table_schema = current_schema()"""
    tables = SQLModel.metadata.tables
    found = []
    for table, column, kind, collation in connection.execute(text(sql)).all():
        known = tables[table].columns.get(column) if table in tables else None
        if known is None:
            continue
        if kind in ("text", "character varying") and collation != "C":
            found.append(_change(table, column, f'{kind} COLLATE "C"'))
        wide = isinstance(known.type.dialect_impl(connection.dialect), BigInteger)
        if kind == "integer" and wide:
            found.append(_change(table, column, "bigint"))
    return found


def _change(table: str, column: str, kind: str) -> str:
    return f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {kind}'
