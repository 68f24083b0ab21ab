"""Connections that can only read."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from core.registry.database import BUSY_TIMEOUT_S, Database

if TYPE_CHECKING:
    from sqlalchemy import Connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection to an SQLite file that cannot change it.

    Raises:
        sqlite3.Error: it cannot be opened.
    """
    connection = _connect(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
    except sqlite3.OperationalError:
        # where no log can be opened beside the file, nobody is writing to it either
        connection.close()
        if Path(f"{path}-wal").exists():
            raise
        connection = _connect(path, "mode=ro&immutable=1")
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def reading(database: Database) -> "Iterator[Connection]":
    """A connection for SQLAlchemy statements that read; on SQLite one that cannot write.

    Raises:
        RegistryUnavailableError: the database cannot be read.
    """
    if database.path is None:
        with database.begin() as connection:
            yield connection
        return
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    path = database.path
    engine = create_engine("sqlite://", creator=lambda: open_read_only(path), poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DatabaseError as error:
        raise database.unavailable(error.orig or error) from error
    except sqlite3.DatabaseError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()


def _connect(path: Path, access: str) -> sqlite3.Connection:
    address = f"file:{quote(str(path))}?{access}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
