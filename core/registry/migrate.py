"""Bring a database to today's tables: under a lock, and only when its version differs."""

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError
from core.registry.database import Database
from core.registry.lock import FileLock
from core.registry.migrations import HEAD, REVISIONS
from core.registry.same_file import logs_beside

if TYPE_CHECKING:
    from sqlalchemy import Connection


def ensure_schema(database: Database) -> None:
    """Create or upgrade the tables; costs one query when there is nothing to do.

    Raises:
        UserError: the registry is newer than this tool, belongs to something else, or cannot be
            written.
    """
    if _is_current(database):
        return
    if database.path is None:
        _upgrade_server(database)
    else:
        _upgrade_file(database, database.path)


def _upgrade_file(database: Database, path: Path) -> None:
    lock = lock_path(database)
    try:
        with FileLock(lock):
            if _is_current(database):
                return
            if database.exists() and _of_another_program(_tables(database)):
                raise UserError(
                    f"{path} is an SQLite file of another program; choose another one with "
                    "--registry"
                )
            _prepare_file(database, path)
            with database.begin() as connection:
                _run_migrations(connection)
    except TimeoutError as error:
        raise UserError(
            f"registry {database.label} is being upgraded by another process; try again later"
        ) from error
    except OSError as error:
        raise UserError(
            f"registry {database.label} cannot be made: {lock} is not writable "
            f"({error.strerror}); choose another place with --home or --registry"
        ) from error


def _is_current(database: Database) -> bool:
    version = schema_version(database)
    if version is not None and version not in REVISIONS:
        raise UserError(
            f"registry {database.label} was made by a newer a5ctl (schema {version}; this one "
            f"knows up to {HEAD}); upgrade a5ctl, or choose another registry with --registry"
        )
    return version == HEAD


def schema_version(database: Database) -> str | None:
    """The version of a database's tables; None where there is no registry yet.

    Raises:
        RegistryUnavailableError: the database cannot be read.
    """
    if not database.exists() or "alembic_version" not in _tables(database):
        return None
    rows = database.read("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


def _tables(database: Database) -> set[str]:
    if database.path is not None:
        rows = database.read("SELECT name FROM sqlite_master WHERE type = 'table'")
    else:
        rows = database.read("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return {str(row[0]) for row in rows}


def _upgrade_server(database: Database) -> None:
    """Upgrade in one transaction, under a lock that the server holds for all its clients.

    Raises:
        UserError: the database is another program's, or cannot hold every text.
    """
    from core.registry.server_schema import alone, encoding, match_sqlite, server_tables

    with database.begin() as connection:
        alone(connection)
        found = server_tables(connection)
        if _of_another_program(found):
            raise UserError(
                f"database {database.label} holds tables of another program; make one of its own "
                "for a5ctl with createdb"
            )
        if (used := encoding(connection)) != "UTF8":
            raise UserError(
                f"database {database.label} holds text as {used}, which lacks most characters; "
                "make one with: createdb --encoding UTF8 --template template0"
            )
        _run_migrations(connection)
        match_sqlite(connection)


def _of_another_program(tables: set[str]) -> bool:
    return bool(tables) and "alembic_version" not in tables


def _run_migrations(connection: "Connection") -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "core.registry:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _prepare_file(database: Database, path: Path) -> None:
    """Make the file; write-ahead logging is a property of the file and lasts."""
    if not path.exists():
        # a log that was left alone belongs to a database that is gone
        for beside in logs_beside(path):
            beside.unlink(missing_ok=True)
    try:
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    except sqlite3.DatabaseError as error:
        raise database.unavailable(error) from error


def lock_path(database: Database) -> Path:
    """Where the lock is that upgrades and repairs of a database file hold.

    Raises:
        ValueError: the database is on a server, which has locks of its own.
    """
    if database.path is None:
        raise ValueError("a server's lock is no file")
    return database.path.with_name(database.path.name + ".lock")
