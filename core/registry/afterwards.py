"""Adds to the journal of a run that nobody records any more.

What is written into the database alone is gone when the database has to be rebuilt from the run
folders; what goes through here comes back.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.registry.entries import Entry, StatusEntry, to_line
from core.registry.journal import Journal, merge_journal
from core.registry.live_runs import held
from core.registry.records import RunRecord

if TYPE_CHECKING:
    from core.registry.store import Registry

REMOVED = "artifact_removed"
"""Kind of the event that tells of a recorded file that was removed on purpose; `data["path"]`."""


def add_to_journal(
    registry: "Registry", run: RunRecord, folder: Path, entries: Sequence[Entry]
) -> None:
    """Write entries into the run's journal, and bring it into the registry.

    Args:
        registry: Where the run's row is.
        run: The run.
        folder: Its folder; where there is none, there is no journal either and nothing is done.
        entries: What to add.

    Raises:
        UserError: a process records the run, or the registry cannot be written.
        OSError: the journal cannot be written.
    """
    if not folder.is_dir():
        return
    with held(run.id, folder):
        append_held(registry, folder, entries)


def journal_end(registry: "Registry", run: RunRecord, folder: Path, reason: str) -> None:
    """Note that a run whose process is gone was interrupted.

    Raises:
        UserError: a process records the run after all, or the registry cannot be written.
        OSError: the journal cannot be written.
    """
    end = StatusEntry(status="interrupted", time=time.time(), exit_reason=reason)
    add_to_journal(registry, run, folder, [end])


def append_held(registry: "Registry", folder: Path, entries: Sequence[Entry]) -> None:
    """The same for a folder that this process holds already; without entries nothing is done."""
    if not entries:
        return
    journal = Journal(folder)
    try:
        journal.append([to_line(entry) for entry in entries])
        journal.sync()
    finally:
        journal.close()
    merge_journal(registry, folder)
