"""Applies journal lines to the tables, one transaction per block of lines."""

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import DatabaseError

from core.registry.apply import apply_entries
from core.registry.entries import Entry, EventEntry, RunEntry
from core.registry.journal import (
    JOURNAL_NAME,
    MergeReport,
    journal_size,
    parse_lines,
    read_lines,
)
from core.registry.schema import Run, table
from core.registry.server import refuses_the_row

if TYPE_CHECKING:
    from core.registry.store import Registry


class RunGoneError(LookupError):
    """The registry does not hold the run (any more)."""


def merge_lines(registry: "Registry", folder: Path) -> MergeReport:
    """See `core.registry.journal.merge_journal`."""
    path = folder / JOURNAL_NAME
    found = _find_run(registry, path, folder.name)
    if found is None:
        return MergeReport(None, 0, 0)
    identity, run_id, held = found
    start = 0 if held > journal_size(folder) else held
    merged = damaged = 0
    for end, lines in read_lines(path, start):
        entries, unread = parse_lines(lines)
        with registry.database.begin() as connection:
            # the run itself, or another merge, may have gone on: older lines must not win then
            overtaken = held_bytes(connection, identity) != held
            if not overtaken:
                rejected = store_entries(connection, identity, entries, journal_bytes=end)
                unread += len(rejected)
            if unread and not overtaken:
                apply_entries(
                    connection, run_key(connection, identity), [_complaint(identity, end, unread)]
                )
        if overtaken:
            rest = merge_lines(registry, folder)
            return MergeReport(run_id, merged + rest.merged, damaged + rest.damaged)
        held = end
        merged += len(entries) - len(rejected)
        damaged += unread
    return MergeReport(run_id, merged, damaged)


def store_entries(
    connection: Connection, run_uuid: str, entries: Sequence[Entry], *, journal_bytes: int | None
) -> list[str]:
    """Apply entries, each on its own if they cannot be applied together.

    Args:
        connection: An open write transaction.
        run_uuid: The run.
        entries: What to apply.
        journal_bytes: How far the journal is now held; None leaves the mark.

    Returns:
        Why single entries were refused.

    Raises:
        RunGoneError: the registry does not hold the run.
        sqlalchemy.exc.OperationalError: the database cannot be written.
    """
    key = run_key(connection, run_uuid)
    refused = []
    if (problem := _attempt(connection, key, entries)) is not None:
        refused = [problem]
        if len(entries) > 1:
            problems = [_attempt(connection, key, [entry]) for entry in entries]
            refused = [text for text in problems if text is not None]
    if journal_bytes is not None:
        set_held_bytes(connection, run_uuid, journal_bytes)
    return refused


def set_held_bytes(connection: Connection, run_uuid: str, journal_bytes: int) -> None:
    """Note how much of a run's journal the database holds."""
    runs = table(Run)
    mark = update(runs).where(runs.c.uuid == run_uuid).values(journal_bytes=journal_bytes)
    connection.execute(mark)


def held_bytes(connection: Connection, run_uuid: str) -> int:
    """How much of a run's journal the database holds.

    Raises:
        RunGoneError: it does not hold the run.
    """
    runs = table(Run)
    query = select(runs.c.journal_bytes).where(runs.c.uuid == run_uuid)
    held = connection.execute(query).scalar()
    if held is None:
        raise RunGoneError(_no_longer(run_uuid))
    return int(held)


def run_key(connection: Connection, run_uuid: str) -> int:
    """Key of a run.

    Raises:
        RunGoneError: the registry does not hold it.
    """
    runs = table(Run)
    key = connection.execute(select(runs.c.key).where(runs.c.uuid == run_uuid)).scalar()
    if key is None:
        raise RunGoneError(_no_longer(run_uuid))
    return int(key)


def _attempt(connection: Connection, run: int, entries: Sequence[Entry]) -> str | None:
    try:
        with connection.begin_nested():
            apply_entries(connection, run, entries)
    except DatabaseError as error:
        if not refuses_the_row(error):
            raise
        return str(error.orig)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _no_longer(run_uuid: str) -> str:
    return f"the registry no longer holds run {run_uuid}"


def _find_run(registry: "Registry", path: Path, folder_name: str) -> tuple[str, str, int] | None:
    """(uuid, short id, bytes already held) of the run a journal belongs to; made if unknown."""
    description = last_description(path)
    column, value = "id", folder_name
    if description is not None:
        column, value = "uuid", str(description.columns["uuid"])
    query = f"SELECT uuid, id, journal_bytes FROM run WHERE {column} = :value"
    rows = registry.database.read(query, {"value": value})
    if rows:
        return rows[0][0], rows[0][1], rows[0][2]
    if description is None:
        return None
    run = registry.adopt_run(description.columns, path.parent)
    return run.uuid, run.id, 0


def last_description(path: Path) -> RunEntry | None:
    """The newest description of the run; its configuration can grow while it runs."""
    found = None
    for _, lines in read_lines(path):
        entries, _ = parse_lines([line for line in lines if line.startswith(b'{"entry":"run"')])
        for entry in entries:
            if isinstance(entry, RunEntry) and "uuid" in entry.columns:
                found = entry
    return found


def _complaint(run_uuid: str, end: int, lines: int) -> EventEntry:
    """The same identity for the same place, so that merging again does not complain again."""
    return EventEntry(
        uuid=uuid.uuid5(uuid.NAMESPACE_OID, f"{run_uuid}:{end}").hex,
        time=0.0,
        step=None,
        severity="warning",
        kind="journal_damaged",
        message=f"{lines} lines of the journal could not be read and were left out",
    )
