"""One SQL statement that reads, on a connection that can do nothing else."""

import difflib
import math
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from core.errors import UserError
from core.registry.database import Database
from core.registry.query.reading import open_read_only
from core.registry.text_reading import text_reader
from core.registry.texts import TextReader
from core.units import MIB

TEXT_FUNCTION = "decoded"
"""SQL function that gives the text of a compressed response."""

_STEPS_BETWEEN_LOOKS = 20_000
_LARGEST_VALUE = 64 * MIB
_ROWS_AT_ONCE = 256
_ALLOWED = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_HARMLESS_PRAGMAS = frozenset(
    ("table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list")
)
_UNKNOWN = re.compile(r"no such (table|column): (\S+)")


@dataclass(frozen=True, slots=True)
class SqlRows:
    """The answer to a statement.

    Attributes:
        names: Of the columns; no two are the same.
        rows: Read as they are taken; may raise UserError on the way.
    """

    names: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]


@contextmanager
def select_sql(database: Database, statement: str, seconds: float) -> Iterator[SqlRows]:
    """Run a statement that reads.

    Args:
        database: An SQLite registry.
        statement: One statement; values of `response.text` are read with `decoded(text)`.
        seconds: How long the database may work on it; the time that the reader of the rows takes
            does not count.

    Raises:
        UserError: it is not one statement that reads, names what is not there, takes too long, or
            the registry is none in an SQLite file.
    """
    if database.path is None:
        raise UserError("a5ctl sql reads registries in SQLite files; ask this server with psql")
    if not database.path.exists():
        raise UserError(
            f"there is no registry {database.path}; start a run, or choose one with --registry"
        )
    try:
        connection = open_read_only(database.path)
    except sqlite3.DatabaseError as error:
        raise database.unavailable(error) from error
    try:
        guarded = _Guarded(connection, text_reader(database), seconds)
        yield guarded.select(statement)
    finally:
        connection.close()


class _Guarded:
    """A connection that only reads, and stops when its time is up."""

    def __init__(self, connection: sqlite3.Connection, texts: TextReader, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._left = seconds
        self._deadline = 0.0
        self._refused = False
        self._tables = {
            str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master").fetchall()
        }
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        connection.create_function(TEXT_FUNCTION, 1, partial(_decoded, texts), deterministic=True)
        if hasattr(connection, "setlimit"):
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LARGEST_VALUE)
        connection.set_progress_handler(self._out_of_time, _STEPS_BETWEEN_LOOKS)
        connection.set_authorizer(self._authorize)

    def select(self, statement: str) -> SqlRows:
        with self._work(statement):
            cursor = self._connection.execute(statement)
            first = cursor.fetchmany(_ROWS_AT_ONCE)
        if cursor.description is None:
            raise UserError("the statement is empty; write for example: select id, kind from run")
        names = _distinct(str(column[0]) for column in cursor.description)
        return SqlRows(names, self._rows(cursor, first, statement))

    def _rows(
        self, cursor: sqlite3.Cursor, rows: list[tuple[Any, ...]], statement: str
    ) -> Iterator[tuple[Any, ...]]:
        while rows:
            yield from rows
            with self._work(statement):
                rows = cursor.fetchmany(_ROWS_AT_ONCE)

    @contextmanager
    def _work(self, statement: str) -> Iterator[None]:
        begin = time.monotonic()
        self._deadline = begin + self._left
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, ValueError, MemoryError) as error:
            raise self._explained(error, statement) from error
        finally:
            self._left -= time.monotonic() - begin

    def _out_of_time(self) -> int:
        return int(time.monotonic() > self._deadline)

    def _authorize(self, action: int, first: str | None, second: str | None, *_: Any) -> int:
        """Reading is allowed; loading code, other files, settings and every change are not."""
        allowed = action in _ALLOWED
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() != "load_extension"
        if action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in _HARMLESS_PRAGMAS
        if action == sqlite3.SQLITE_UPDATE and first == "sqlite_master":
            # so SQLite describes json_each to itself; a real change there it refuses on its own
            allowed = True
        self._refused = self._refused or not allowed
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    def _explained(self, error: BaseException, statement: str) -> UserError:
        reason = str(error)
        if self._refused or "readonly" in reason:
            return UserError(
                "the statement would do more than read, and a5ctl sql only reads: give one SELECT "
                "(a5ctl tag, note, archive and delete change runs)"
            )
        if "interrupted" in reason:
            return UserError(
                f"the statement took longer than {self._seconds:g} seconds; ask for less, or give "
                "it more time with --timeout"
            )
        if "one statement" in reason:
            return UserError("there is more than one statement; give one SELECT, without a ; in it")
        if found := _UNKNOWN.search(reason):
            return UserError(
                f"there is no {found[1]} {found[2]}; {self._near(found[2], statement)}"
            )
        return UserError(f"the statement cannot be run: {reason}")

    def _near(self, name: str, statement: str) -> str:
        """Names like it: tables, and the columns of the tables that the statement names."""
        self._deadline = math.inf
        words = set(re.findall(r"\w+", statement)) & self._tables
        columns: set[str] = set()
        for table in words:
            rows = self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
            columns |= {str(row[0]) for row in rows.fetchall()}
        last = name.rpartition(".")[2]
        near = difflib.get_close_matches(last, sorted(self._tables | columns), n=3, cutoff=0.6)
        return f"did you mean {' or '.join(near)}?" if near else "docs/schema.md lists them"


def _decoded(texts: TextReader, stored: Any) -> str | None:
    """The text behind a compressed one; NULL for what is none."""
    if not isinstance(stored, bytes):
        return None
    try:
        return texts.text(stored)
    except Exception:  # whatever is wrong with these bytes, the other rows can be read
        return None


def _distinct(names: Iterator[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        number, free = 1, name
        while free in found:
            number += 1
            free = f"{name}_{number}"
        found[free] = None
    return tuple(found)
