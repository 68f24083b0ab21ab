"""Adds to the journal of a run that nobody records any more.

What is written into the database alone is gone when the database has to be rebuilt from the run
folders; what goes through here comes back.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from core.errors import UserError
from core.registry.entries import Entry, StatusEntry, to_line
from core.registry.journal import Journal, append_lines, journal_size, merge_journal
from core.registry.live_runs import held, may_be_alive
from core.registry.merge import RunGoneError, held_bytes, run_key, set_held_bytes
from core.registry.records import RunRecord

if TYPE_CHECKING:
    from core.registry.store import Registry

_PATIENCE_S = 10.0

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


def check_addable(registry: "Registry", run: RunRecord, folder: Path | None) -> None:
    """Make sure that nobody records the run, before work begins whose outcome goes to its journal.

    Raises:
        UserError: a process records it, or may.
    """
    if folder is not None and may_be_alive(registry.run_by_uuid(run.uuid), folder):
        raise UserError(
            f"run {run.id} may still be recording, and its journal takes one writer at a time; "
            f"wait for its end or, if its process is gone, settle it with: a5ctl close {run.id}"
        )


def change_with_journal(
    registry: "Registry",
    run: RunRecord,
    folder: Path | None,
    work: Callable[[Connection, int], Sequence[Entry]],
) -> None:
    """Change what is stored about a run, and note it in its journal: both, or neither.

    The journal has it before the registry does: should the very last step fail, the next merge
    brings it in.

    Args:
        registry: Where the run's row is.
        run: The run.
        folder: Where its journal is; None changes the registry alone.
        work: Given an open write transaction and the key of the run, changes the registry, and
            returns what leads to the same change when it is applied again.

    Raises:
        UserError: a process records the run, or one of the two places cannot be written.
    """
    try:
        if folder is None:
            with registry.database.begin() as connection:
                work(connection, run_key(connection, run.uuid))
            return
        if not registry.run_by_uuid(run.uuid).status.settled:
            check_addable(registry, run, folder)
        with held(run.id, folder, _PATIENCE_S):
            _change_held(registry, run, folder, work)
    except RunGoneError as error:
        raise UserError(f"run {run.id} was deleted meanwhile; nothing was stored") from error
    except OSError as error:
        raise UserError(
            f"the journal in run folder {folder} cannot be written ({error.strerror}), so nothing "
            "was changed; make it writable"
        ) from error


def _change_held(
    registry: "Registry",
    run: RunRecord,
    folder: Path,
    work: Callable[[Connection, int], Sequence[Entry]],
) -> None:
    if registry.run_by_uuid(run.uuid).journal_bytes != journal_size(folder):
        merge_journal(registry, folder)
    journal = Journal(folder)
    try:
        with registry.database.begin() as connection:
            lines = [to_line(e) for e in work(connection, run_key(connection, run.uuid))]
            if lines:
                journal.append(lines)
                journal.sync()
                if held_bytes(connection, run.uuid) == journal.size - sum(map(len, lines)):
                    set_held_bytes(connection, run.uuid, journal.size)
    finally:
        journal.close()


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
    if entries:
        append_lines(folder, [to_line(entry) for entry in entries])
        merge_journal(registry, folder)
