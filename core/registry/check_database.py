"""Is the database file itself sound? Asked of SQLite, without changing anything."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from core.registry.connections import open_for_reading
from core.registry.database import Database, RegistryUnavailableError
from core.registry.findings import Finding, FindingKind
from core.registry.migrate import schema_version
from core.registry.migrations import HEAD, REVISIONS

_MOST = 10
_REBUILD = "rebuild it with: a5ctl registry repair"


def check_database(database: Database, path: Path) -> list[Finding]:
    """What is wrong with the file; nothing when its rows can be trusted.

    Args:
        database: The registry.
        path: Its file.
    """
    if not path.exists():
        return [Finding(FindingKind.MISSING, f"registry {path}", "is not there", _REBUILD)]
    try:
        with closing(open_for_reading(path)) as connection:
            found = [*_integrity(connection, path), *_references(connection, path)]
        return found + _version(database, path)
    except (sqlite3.DatabaseError, RegistryUnavailableError) as error:
        return [_unreadable(path, str(error))]


def _integrity(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    rows = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
    for (text,) in rows:
        if text != "ok":
            line = " ".join(str(text).split())
            yield Finding(FindingKind.DAMAGED, f"registry {path}", f"is damaged: {line}", _REBUILD)


def _references(connection: sqlite3.Connection, path: Path) -> Iterator[Finding]:
    rows = connection.execute("PRAGMA foreign_key_check").fetchall()
    for (table, owner), count in sorted(Counter((row[0], row[2]) for row in rows).items()):
        yield Finding(
            FindingKind.ORPHANS,
            f"table {table} of {path}",
            f"has {count} rows whose row in {owner} is gone",
            "remove them with: a5ctl registry gc --yes",
        )


def _version(database: Database, path: Path) -> list[Finding]:
    version = schema_version(database)
    if version == HEAD:
        return []
    if version is None:
        return [_unreadable(path, "it has no tables of a registry")]
    newer = version not in REVISIONS
    problem = f"has the tables of version {version}, and this a5ctl works with {HEAD}"
    remedy = "upgrade a5ctl" if newer else "bring it up to date with: a5ctl registry migrate"
    return [Finding(FindingKind.VERSION, f"registry {path}", problem, remedy)]


def _unreadable(path: Path, reason: str) -> Finding:
    problem = f"cannot be read ({' '.join(reason.split())})"
    return Finding(FindingKind.DAMAGED, f"registry {path}", problem, _REBUILD)
