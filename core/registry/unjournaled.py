"""Writes into the journals what only the database holds: older versions of a5ctl left it there.

That is grades of later grader versions, probes, plans, and runs of responses from a file, which
had no folder. What belongs to a run without a journal stays where it is.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain

from sqlalchemy import Connection

from core.registry.afterwards import change_with_journal
from core.registry.apply import apply_entries
from core.registry.entries import Entry, RunEntry, StatusEntry, clean_tree, to_line
from core.registry.journal import merge_journal
from core.registry.live_runs import RunIsRecordedError, may_be_alive
from core.registry.new_folders import write_run_folder
from core.registry.plans import journal_plans, store_plans
from core.registry.records import PlanRecord, RunRecord, RunStatus
from core.registry.run_folders import journal_folder
from core.registry.store import Registry
from core.registry.stored_entries import (
    lacking_probes,
    lacking_regrades,
    stored_evaluation_entries,
    stored_event_entries,
)
from core.workspace import Workspace


def journal_the_rest(old: Registry, fresh: Registry, workspace: Workspace) -> dict[str, int]:
    """Bring what a registry lacks into the journals, and from there into it.

    Args:
        old: A sound registry that may hold more.
        fresh: Holds all that the journals hold, and gets the rest.
        workspace: Where the journals are; of runs that may be recording, they stay as they are.

    Returns:
        How many things were written, by what they are.

    Raises:
        UserError: a journal cannot be written.
        OSError: a run folder cannot be written.
    """
    written = Counter[str]()
    if plans := _lacking_plans(old, fresh):
        store_plans(fresh.database, journal_plans(workspace, plans))
        written["plan"] = len(plans)
    known = {run.uuid for run in fresh.runs(archived=True)}
    for run in old.runs(archived=True):
        if run.uuid in known:
            written += _later(old, fresh, workspace, run)
        elif _is_of_a_file(run) and not workspace.run_folder(run.id).exists():
            merge_journal(fresh, write_run_folder(workspace, run.id, _journal(old, run)))
            written["run"] += 1
    return dict(written)


def _lacking_plans(old: Registry, fresh: Registry) -> list[PlanRecord]:
    sql = "SELECT name, hash, first_seen, text FROM plan ORDER BY first_seen, key"
    there = {row[:2] for row in fresh.database.read(sql)}
    return [PlanRecord(*row) for row in old.database.read(sql) if row[:2] not in there]


def _is_of_a_file(run: RunRecord) -> bool:
    """Responses that were graded from a file, which are settled and whole without a journal."""
    settled = run.kind == "eval" and run.status is RunStatus.FINISHED and not run.journal_bytes
    return settled and "dump" in run.config


def _journal(old: Registry, run: RunRecord) -> Iterator[bytes]:
    """The journal of a run that never had one."""
    who = {"host": run.host, "pid": run.pid, "process_start": run.process_start}
    begin = StatusEntry(status="running", time=run.started or run.created, **who)
    end = StatusEntry(status="finished", time=run.ended or run.created, exit_reason=run.exit_reason)
    entries: Iterator[Entry] = chain(
        [RunEntry(columns=clean_tree(old.columns(run.uuid))), begin],
        stored_evaluation_entries(old.database, run.uuid),
        stored_event_entries(old.database, run.uuid),
        [end],
    )
    return (to_line(entry) for entry in entries)


def _later(old: Registry, fresh: Registry, workspace: Workspace, run: RunRecord) -> Counter[str]:
    """Write what was added to a run after it was recorded."""
    places = (old.database, fresh.database, run.uuid)
    told = {event.uuid for event in stored_event_entries(fresh.database, run.uuid)}
    events = [e for e in stored_event_entries(old.database, run.uuid) if e.uuid not in told]
    regrades, probes = lacking_regrades(*places), lacking_probes(*places)
    entries: list[Entry] = [*regrades, *probes, *events]
    folder = journal_folder(workspace, run) if entries else None
    if folder is None or may_be_alive(fresh.run_by_uuid(run.uuid), folder):
        return Counter()

    def work(connection: Connection, key: int) -> list[Entry]:
        apply_entries(connection, key, entries)
        return entries

    try:
        change_with_journal(fresh, run, folder, work)
    except RunIsRecordedError:
        return Counter()
    return Counter(regrade=len(regrades), probe=len(probes), event=len(events))
