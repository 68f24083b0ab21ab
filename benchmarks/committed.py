"""What a database holds at one moment, and whether all of that is still there later.

A reader that begins a transaction keeps its view of the database for as long as it likes, whatever
others write or however they die. So the moment costs microseconds, and the reading comes later.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

Rows = dict[str, tuple[tuple[str, ...], set[tuple[Any, ...]]]]

# their rows are read through the views `response` and `grade`, which older versions have as tables
_BEHIND_VIEWS = ("answer", "verdict", "verdict_set")
# what later rows are allowed to change; of these only what never changes is compared
_FIXED = {
    "run": ("uuid", "id", "kind", "created"),
    "metric_summary": ("run", "name"),
    "rollout_batch": ("uuid", "run", "step"),
    "artifact": ("run", "path"),
    "alembic_version": (),
}


class Moment:
    """What is committed now.

    Args:
        path: The database; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._connection: sqlite3.Connection | None = None
        if path.exists():
            # read-only, so that closing it does not tidy up what a kill leaves behind
            address = f"file:{path}?mode=ro"
            self._connection = sqlite3.connect(address, uri=True, timeout=5, isolation_level=None)
            self._connection.execute("BEGIN")
            self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()

    def rows(self) -> tuple[str | None, Rows]:
        """Version and rows of that moment; the moment is let go of."""
        if self._connection is None:
            return None, {}
        with closing(self._connection) as connection:
            return version(connection), _rows(connection, _columns(connection))


def version(connection: sqlite3.Connection) -> str | None:
    """Of the tables; None where there are none yet."""
    try:
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError:
        return None
    return None if found is None else str(found[0])


def copied(path: Path, folder: Path) -> Path:
    """A copy of the file and its log as a kill left them; opening it is what recovers them."""
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    for suffix in ("", "-wal", "-shm"):
        Path(f"{target}{suffix}").unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        source = Path(f"{path}{suffix}")
        if source.exists():
            shutil.copyfile(source, Path(f"{target}{suffix}"))
    return target


def damage(path: Path) -> list[str]:
    """What SQLite finds wrong with a file."""
    with closing(sqlite3.connect(path)) as connection:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        found += [f"foreign key: {row}" for row in connection.execute("PRAGMA foreign_key_check")]
    return found


def missing(before: tuple[str | None, Rows], path: Path) -> list[str]:
    """Tables of which rows are gone, with how many."""
    known, rows = before
    with closing(sqlite3.connect(path)) as connection:
        # a migration may store texts in another way
        same = version(connection) == known
        there = _columns(connection)
        asked = {
            table: tuple(name for name in columns if name in there.get(table, ()))
            for table, (columns, _) in rows.items()
            if same or table in there
        }
        after = _rows(connection, asked)
    return list(_differences(rows, after, same=same))


def _differences(before: Rows, after: Rows, *, same: bool) -> Iterator[str]:
    for table, (found_columns, found) in after.items():
        columns, rows = before[table]
        places = [columns.index(name) for name in found_columns]
        wanted = {tuple(row[place] for place in places) for row in rows}
        if not same:
            wanted, found = set(map(_without_blobs, wanted)), set(map(_without_blobs, found))
        if gone := len(wanted - found):
            yield f"{table}: {gone} of {len(wanted)} rows"


def _without_blobs(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(None if isinstance(cell, bytes) else cell for cell in row)


def _columns(connection: sqlite3.Connection) -> dict[str, tuple[str, ...]]:
    sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    tables = [name for (name,) in connection.execute(sql) if name not in _BEHIND_VIEWS]
    found = {}
    for table in tables:
        names = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        found[table] = tuple(name for name in names if name in _FIXED.get(table, names))
    return {table: names for table, names in found.items() if names}


def _rows(connection: sqlite3.Connection, columns: dict[str, tuple[str, ...]]) -> Rows:
    found: Rows = {}
    for table, names in columns.items():
        listed = ", ".join(f'"{name}"' for name in names)
        found[table] = (names, set(connection.execute(f'SELECT {listed} FROM "{table}"')))
    return found
