"""Copies a registry while it is in use: whole, and as of one moment."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.registry.connections import open_for_reading
from core.registry.database import Database
from core.registry.same_file import logs_beside


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made.

    Attributes:
        path: Where it is.
        bytes: Its size.
        runs: Runs that it holds.
    """

    path: Path
    bytes: int
    runs: int


def back_up(database: Database, source: Path, target: Path, *, force: bool = False) -> Backup:
    """Copy a registry with SQLite's own means; those who record into it are not held up.

    Args:
        database: The registry.
        source: Its file.
        target: Where the copy goes; it has that name only when it is whole and on disk.
        force: Replace a file that is there.

    Raises:
        UserError: there is no registry, the place is taken or no place, or the copy is damaged.
        OSError: the copy cannot be written; nothing half-written is left behind.
    """
    _check_places(source, target, force=force)
    partial = target.with_name(f".{target.name}.partial")
    try:
        runs = _copy(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(target)
    except sqlite3.DatabaseError as error:
        raise database.unavailable(error) from error
    finally:
        for left in (partial, *logs_beside(partial)):
            left.unlink(missing_ok=True)
    return Backup(target, target.stat().st_size, runs)


def _check_places(source: Path, target: Path, *, force: bool) -> None:
    if not source.is_file():
        raise UserError(f"there is no registry {source} to copy; name it with --registry or --home")
    if target.is_dir() or not target.parent.is_dir():
        raise UserError(f"{target} is no place for a file; name a file in a folder that exists")
    if not target.exists():
        return
    if target.samefile(source):
        raise UserError(f"{target} is the registry itself; name another file")
    if not force:
        raise UserError(f"{target} exists already; name another file, or replace it with --force")
    if any(log.exists() for log in logs_beside(target)):
        raise UserError(f"{target} is a registry in use; name another file")


def _copy(source: Path, target: Path) -> int:
    """Copy in one step, so that no write can make it begin again; returns the runs in it."""
    target.unlink(missing_ok=True)
    with closing(open_for_reading(source)) as original, closing(sqlite3.connect(target)) as copy:
        original.backup(copy)
        (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise UserError(
                f"registry {source} is damaged ({verdict}), and so would be its copy; rebuild it "
                "first with: a5ctl registry repair"
            )
        tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master")}
        if "run" not in tables or "alembic_version" not in tables:
            raise UserError(f"{source} is no registry; name one with --registry")
        return int(copy.execute("SELECT COUNT(*) FROM run").fetchone()[0])
