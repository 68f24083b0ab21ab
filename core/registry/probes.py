"""Keeps what probes of an evaluation found."""

from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import Connection

from core.errors import UserError
from core.registry.afterwards import change_with_journal
from core.registry.apply import apply_entries
from core.registry.entries import Entry, EventEntry
from core.registry.probe_records import ProbeRecord
from core.registry.probe_rows import probe_entry
from core.registry.records import RunRecord
from core.registry.store import Registry


def keep_probes(
    registry: Registry,
    run: RunRecord,
    folder: Path | None,
    evaluation_uuid: str,
    probes: Sequence[ProbeRecord],
    events: Sequence[EventEntry],
) -> None:
    """Store probes of one evaluation with the events that tell of them: all, or nothing.

    Args:
        registry: Where to.
        run: Whose evaluation it is.
        folder: Where its journal is; None where there is none here.
        evaluation_uuid: What was probed.
        probes: Each with the texts of its responses; a stored one of the same kind and cap goes.
        events: Added to the run.

    Raises:
        UserError: the evaluation is gone, a process records the run, or one of the two places
            cannot be written; nothing was changed.
    """
    entries: list[Entry] = [*(probe_entry(evaluation_uuid, probe) for probe in probes), *events]

    def work(connection: Connection, key: int) -> list[Entry]:
        apply_entries(connection, key, entries)
        return entries

    if not registry.database.read(
        "SELECT 1 FROM evaluation WHERE uuid = :uuid", {"uuid": evaluation_uuid}
    ):
        raise UserError("the evaluation was deleted while it was probed; nothing was stored")
    change_with_journal(registry, run, folder, work)
