"""Removes what `core.registry.garbage` found, run by run, and never of a run that came alive."""

import shutil
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path

from core.registry.afterwards import REMOVED, append_held
from core.registry.entries import EventEntry, new_uuid
from core.registry.garbage import Garbage, GarbageKind, Waste
from core.registry.live_runs import RunIsRecordedError, held
from core.registry.orphans import delete_orphans
from core.registry.records import RunRecord
from core.registry.run_folders import folder_of
from core.registry.store import Registry
from core.units import MIB
from core.workspace import Workspace

_RETIRED = ".partial-removed-"
_MINIMUM_FREE_BYTES = MIB


def collect(
    registry: Registry,
    path: Path,
    workspace: Workspace,
    waste: Waste,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Waste:
    """Remove it.

    What was recorded is noted as removed in the run's journal first, so that neither a check nor a
    repair misses it later.

    Args:
        registry: Where the runs are.
        path: Its file.
        workspace: Where the run folders are.
        waste: What was found; files of a run that is recorded again by now stay.
        on_progress: Called with the number of places looked at, and of all places.

    Returns:
        What went.

    Raises:
        UserError: the registry cannot be written.
        OSError: a file cannot be removed.
    """
    gone: list[Garbage] = []
    done = 0
    for _, group in groupby(waste.files, key=lambda item: item.run.uuid):
        items = list(group)
        gone += _remove_of_run(registry, workspace, items)
        done += len(items)
        on_progress(done, len(waste.files))
    rows = _delete_rows(registry, path) if waste.rows else {}
    freed = 0
    if not waste.alive and (rows or waste.free_bytes >= _MINIMUM_FREE_BYTES):
        freed = _shrink(registry, path)
    return Waste(tuple(gone), rows, freed, waste.alive)


def _remove_of_run(
    registry: Registry, workspace: Workspace, items: Sequence[Garbage]
) -> list[Garbage]:
    run = items[0].run
    folder = folder_of(workspace, run)
    try:
        with held(run.id, folder):
            now = registry.run_by_uuid(run.uuid)
            if now.status is not run.status:
                return []
            notes = [_note(run, item) for item in items if item.artifact is not None]
            append_held(registry, folder, notes)
            for item in items:
                _remove(item)
    except RunIsRecordedError:
        return []
    return list(items)


def _note(run: RunRecord, item: Garbage) -> EventEntry:
    gone = item.kind is GarbageKind.GONE
    text = f"{item.artifact} was gone already" if gone else f"{item.artifact} was removed"
    return EventEntry(
        uuid=new_uuid(),
        time=time.time(),
        step=None,
        severity="info",
        kind=REMOVED,
        message=f"{text} ({item.bytes} bytes freed)",
        data={"path": item.artifact, "bytes": item.bytes},
    )


def _remove(item: Garbage) -> None:
    """Take the name away at one stroke: a kill then leaves no half of a checkpoint."""
    if item.kind is GarbageKind.GONE:
        return
    path = item.path
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    retired = path
    if item.kind is not GarbageKind.PARTIAL:
        retired = path.rename(path.with_name(f"{_RETIRED}{path.name}"))
    shutil.rmtree(retired)


def _delete_rows(registry: Registry, path: Path) -> dict[str, int]:
    try:
        with closing(sqlite3.connect(path, timeout=5, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            rows = delete_orphans(connection)
            connection.execute("COMMIT")
    except sqlite3.DatabaseError as error:
        raise registry.database.unavailable(error) from error
    return rows


def _shrink(registry: Registry, path: Path) -> int:
    """Give unused room inside the file back; needs it for a moment alone, and does without."""
    registry.close()
    before = path.stat().st_size
    try:
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.DatabaseError:
        return 0
    return max(0, before - path.stat().st_size)
