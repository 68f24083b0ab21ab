"""Bring a database to today's tables: under a lock, and only when its version differs."""

import hashlib
import sqlite3
import tempfile
from pathlib import Path

from core.errors import UserError
from core.registry.database import Database
from core.registry.lock import FileLock
from core.registry.migrations import HEAD, REVISIONS
from core.registry.same_file import logs_beside


def ensure_schema(database: Database) -> None:
    """Create or upgrade the tables; costs one query when there is nothing to do.

    Raises:
        UserError: the registry is newer than this tool, belongs to something else, or cannot be
            written.
    """
    if _is_current(database):
        return
    lock = lock_path(database)
    try:
        with FileLock(lock):
            if not _is_current(database):
                _upgrade(database)
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
        rows = database.read(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
        )
    return {str(row[0]) for row in rows}


def _upgrade(database: Database) -> None:
    foreign = _tables(database) if database.exists() else set()
    if database.path is not None:
        if foreign and "alembic_version" not in foreign:
            raise UserError(
                f"{database.path} is an SQLite file of another program; choose another one with "
                "--registry"
            )
        _prepare_file(database, database.path)
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "core.registry:migrations")
    config.set_main_option("path_separator", "os")
    with database.begin() as connection:
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
    """Where the lock is that upgrades and repairs of a database hold."""
    if database.path is not None:
        return database.path.with_name(database.path.name + ".lock")
    digest = hashlib.sha256(database.url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"a5ctl-{digest}.lock"
