"""How connections are made: to an SQLite file, for reading or for writing, or to a server."""

import os
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from core.errors import UserError
from core.registry.server import is_server, masked, server_engine

if TYPE_CHECKING:
    from sqlalchemy import Engine

BUSY_TIMEOUT_S = 30.0


def open_for_reading(path: Path, timeout: float = BUSY_TIMEOUT_S) -> sqlite3.Connection:
    """A connection that changes nothing, usable by one thread at a time.

    Raises:
        sqlite3.DatabaseError: the file is not there, or is no database.
    """
    address = f"file:{quote(str(path))}?{_access(path)}"
    connection = sqlite3.connect(address, uri=True, timeout=timeout, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _access(path: Path) -> str:
    """In a folder that cannot be written no log can be opened; without one, none is needed."""
    if os.access(path.parent, os.W_OK) or Path(f"{path}-wal").exists():
        return "mode=rw"
    return "mode=ro&immutable=1"


def sqlite_path(url: str) -> Path | None:
    """The file behind an SQLite URL; None for PostgreSQL.

    Raises:
        UserError: any other URL.
    """
    if is_server(url):
        return None
    if not url.startswith("sqlite:///"):
        raise UserError(
            f"registry {masked(url)!r} is not supported; give sqlite:///path/to/registry.db or a "
            "postgresql:// URL"
        )
    name = url.removeprefix("sqlite:///")
    if not name or name.startswith(":memory:") or "?" in name:
        raise UserError(f"registry {url!r} names no file; give sqlite:///path/to/registry.db")
    return Path(name).absolute()


def build_engine(url: str, path: Path | None, busy_timeout: float) -> "Engine":
    """The door for writes.

    Args:
        url: Of the database.
        path: Its file; None where it is on a server.
        busy_timeout: Seconds to wait for another writer.

    Raises:
        UserError: a package is missing, or the URL is not usable.
    """
    from sqlalchemy import URL, Connection, create_engine, event

    if path is None:
        return server_engine(url, busy_timeout)
    address = URL.create("sqlite", database=str(path))
    engine = create_engine(address, connect_args={"timeout": busy_timeout})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        # Python must not begin transactions on its own: it would begin them too late
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
