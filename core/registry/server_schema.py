"""Tables on a PostgreSQL server: alone while they are made, and holding what SQLite's hold."""

from sqlalchemy import BigInteger, Connection, text

from core.registry.schema import SQLModel

_LOCK = 0xA5C7
_PATIENCE_S = 120


def alone(connection: Connection) -> None:
    """Wait until no other process upgrades this database; the lock goes with the transaction.

    Raises:
        sqlalchemy.exc.OperationalError: it takes too long.
    """
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
    lists; columns that the tables declare as wide are.
    """
    sql = """SELECT table_name, column_name, data_type, collation_name
        FROM information_schema.columns WHERE table_schema = current_schema()"""
    tables = SQLModel.metadata.tables
    for table, column, kind, collation in connection.execute(text(sql)).all():
        known = tables[table].columns.get(column) if table in tables else None
        if known is None:
            continue
        if kind in ("text", "character varying") and collation != "C":
            _alter(connection, table, column, f'{kind} COLLATE "C"')
        wide = isinstance(known.type.dialect_impl(connection.dialect), BigInteger)
        if kind == "integer" and wide:
            _alter(connection, table, column, "bigint")


def _alter(connection: Connection, table: str, column: str, kind: str) -> None:
    connection.execute(text(f'ALTER TABLE "{table}" ALTER COLUMN "{column}" TYPE {kind}'))
