"""One database, two doors: reads without SQLAlchemy where it is SQLite, writes always with it.

Importing SQLAlchemy takes longer than most listings; reading through the standard library keeps
`a5ctl ls` fast. Queries are plain SQL with `:name` parameters, which both doors understand.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.batches import batched
from core.errors import UserError
from core.registry.connections import (
    BUSY_TIMEOUT_S,
    build_engine,
    open_for_reading,
    sqlite_path,
)
from core.registry.same_file import (
    FileGoneError,
    FileIdentity,
    FileWatch,
    LogOfAnotherFileError,
    identity_of,
)
from core.registry.server import explained, masked, refuses_the_row

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

# values of one list in a query; SQLite before 3.32 takes 999 variables
_LISTED = 500

Row = tuple[Any, ...]


class RegistryUnavailableError(UserError):
    """The database cannot be read or written now: locked, full, read-only, damaged, gone."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """One thread's connection for reading, and the file it was opened on."""

    connection: sqlite3.Connection
    file: FileIdentity
    # another thread closes it when the file is gone, and must not do so in the middle of a query
    busy: threading.Lock = field(default_factory=threading.Lock)


class Database:
    """Access to one database.

    Args:
        url: SQLAlchemy URL; SQLite (in a file) or PostgreSQL.
        busy_timeout: Seconds to wait for another writer.

    Raises:
        UserError: another kind of database, or SQLite without a file.
    """

    def __init__(self, url: str, busy_timeout: float = BUSY_TIMEOUT_S) -> None:
        self.url = url
        self.path = sqlite_path(url)
        self._busy_timeout = busy_timeout
        self._local = threading.local()
        self._readers: list[_Reader] = []
        self._engine: Engine | None = None
        self._lock = threading.Lock()
        self._watch = FileWatch(self.path) if self.path else None

    @property
    def label(self) -> str:
        """The database for messages, without a password."""
        return str(self.path) if self.path else masked(self.url)

    @property
    def files_opened(self) -> int:
        """How many files were written to so far under this name; a server counts as one."""
        return self._watch.opened if self._watch else 1

    def exists(self) -> bool:
        """False for an SQLite file that is not there; a server is asked when it is used."""
        return self.path is None or self.path.exists()

    def read(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """Run a query; a missing SQLite file reads as an empty database.

        Raises:
            RegistryUnavailableError: the database cannot be read.
        """
        if self.path is None:
            return self._read_through_engine(sql, parameters or {})
        file = identity_of(self.path)
        if file is None:
            return []
        try:
            reader = self._reader(self.path, file)
            with reader.busy:
                return reader.connection.execute(sql, dict(parameters or {})).fetchall()
        except sqlite3.DatabaseError as error:
            raise self.unavailable(error) from error

    def read_in(self, sql: str, values: list[Any], **parameters: Any) -> list[Row]:
        """Run a query whose `:values` stands for a list of any length."""
        rows: list[Row] = []
        for batch in batched(values, _LISTED):
            chunk = {f"v{n}": value for n, value in enumerate(batch)}
            names = ", ".join(f":{name}" for name in chunk)
            rows += self.read(sql.replace(":values", names), {**chunk, **parameters})
        return rows

    @contextmanager
    def begin(self) -> "Iterator[Connection]":
        """One write transaction; on SQLite it holds the write lock from its first statement.

        Raises:
            RegistryUnavailableError: the database cannot be written.
        """
        from sqlalchemy.exc import DBAPIError, PendingRollbackError

        try:
            with self._writer().begin() as connection:
                yield connection
            if self._watch is not None:
                self._watch.note_log()
        except DBAPIError as error:
            if refuses_the_row(error):
                raise
            raise self.unavailable(error.orig or error) from error
        except PendingRollbackError as error:  # the connection was lost in the middle
            raise self.unavailable(error) from error

    def unavailable(self, error: BaseException) -> RegistryUnavailableError:
        """The error as one sentence."""
        if self.path is None:
            return RegistryUnavailableError(explained(error, self.label))
        reason = str(error)
        if "locked" in reason:
            text = f"registry {self.label} is locked by another program; stop it or try again"
        elif "disk is full" in reason:
            text = f"registry {self.label} cannot grow: the disk is full; free some space"
        elif "readonly" in reason or "read-only" in reason:
            text = (
                f"registry {self.label} is read-only; make it and its folder writable, or give a "
                "writable copy with --registry"
            )
        elif "unable to open database file" in reason and self.exists():
            text = (
                f"registry {self.label} cannot be written: SQLite needs to make files in "
                f"{self.path.parent}; make both writable, or give a writable copy with --registry"
            )
        elif "not a database" in reason or "malformed" in reason:
            text = f"{self.label} is damaged or no SQLite file; choose another one with --registry"
        else:
            text = f"registry {self.label} cannot be used ({reason}); choose one with --registry"
        return RegistryUnavailableError(text)

    def close(self) -> None:
        """Close every connection; the next access opens new ones."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        for reader in self._readers:
            with reader.busy:
                reader.connection.close()
        self._readers.clear()
        self._local = threading.local()
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _reader(self, path: Path, file: FileIdentity) -> _Reader:
        reader: _Reader | None = getattr(self._local, "reader", None)
        if reader is not None and reader.file == file:
            return reader
        if self._watch is not None:
            self._check_log(self._watch, file)
        opened = _Reader(open_for_reading(path, self._busy_timeout), file)
        with self._lock:
            if reader in self._readers:
                self._readers.remove(reader)
                reader.connection.close()
            self._readers.append(opened)
        self._local.reader = opened
        return opened

    def _read_through_engine(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        from sqlalchemy import text
        from sqlalchemy.exc import DBAPIError

        try:
            with self._writer().connect() as connection:
                # a query alone needs no transaction, whose two messages would travel as well
                alone = connection.execution_options(isolation_level="AUTOCOMMIT")
                return [tuple(row) for row in alone.execute(text(sql), dict(parameters))]
        except DBAPIError as error:
            raise self.unavailable(error.orig or error) from error

    def _writer(self) -> "Engine":
        with self._lock:
            if self._watch is not None:
                self._notice_another_file(self._watch)
            if self._engine is None:
                self._engine = build_engine(self.url, self.path, self._busy_timeout)
            return self._engine

    def _notice_another_file(self, watch: FileWatch) -> None:
        """A pooled connection would go on writing into a file that was deleted or replaced.

        Open connections also keep the shared memory beside the file in use, which would confuse
        whoever puts another file in its place; so they are closed as soon as it is gone.
        """
        try:
            if watch.look():
                self._let_go()
        except FileGoneError as error:
            self._let_go()
            raise RegistryUnavailableError(
                f"registry {self.label} is gone; restore it, or rebuild it from the run folders "
                "with: a5ctl registry repair"
            ) from error
        except LogOfAnotherFileError as error:
            self._let_go()
            raise self._mixed_up() from error

    def _check_log(self, watch: FileWatch, file: FileIdentity) -> None:
        try:
            watch.check_log(file)
        except LogOfAnotherFileError as error:
            raise self._mixed_up() from error

    def _mixed_up(self) -> RegistryUnavailableError:
        return RegistryUnavailableError(
            f"registry {self.label} was replaced, but the log of the old file still lies beside it "
            f"and would spoil the new one; stop what uses it and delete {self.label}-wal and "
            f"{self.label}-shm"
        )
