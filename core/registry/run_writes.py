"""Writes to the table of runs."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, delete, func, insert, null, select, update

from core.errors import UserError
from core.registry.codec import clean
from core.registry.database import Database
from core.registry.entries import clean_tree, new_uuid
from core.registry.liveness import display_status
from core.registry.processes import host_name, process_mark
from core.registry.query.reading import reading
from core.registry.records import Deletion, NewRun, RunRecord, RunStatus
from core.registry.run_queries import children
from core.registry.schema import (
    Artifact,
    Evaluation,
    Event,
    Metric,
    Probe,
    ProbedResponse,
    Response,
    RolloutBatch,
    Run,
    Verdict,
    table,
)
from core.registry.slices import delete_in_slices
from core.workspace import new_run_id

_ATTEMPTS = 100
# what another registry's journal cannot know about this one
_LOCAL = ("key", "journal_bytes")


@dataclass(frozen=True, slots=True)
class AddedRun:
    """What names a run that was just stored; `id` is the short one."""

    key: int
    uuid: str
    id: str


def insert_run(database: Database, new: NewRun) -> str:
    """Store a new run; returns its uuid.

    Raises:
        UserError: the id is taken, or the registry cannot be written.
    """
    with database.begin() as connection:
        return add_run(connection, new).uuid


def add_run(connection: Connection, new: NewRun) -> AddedRun:
    """Store a new run in an open write transaction.

    Raises:
        UserError: the id is taken.
    """
    identity, now = new_uuid(), time.time()
    short = _free_id(connection, new)
    row = {
        "uuid": identity,
        "id": short,
        "kind": new.kind,
        "name": _clean(new.name),
        "group": _clean(new.group),
        "status": RunStatus.QUEUED.value,
        "parent_uuid": new.parent_uuid,
        "config_hash": new.config_hash,
        "seed": new.seed,
        "model": clean(new.model),
        "model_hash": new.model_hash,
        "data": clean(new.data),
        "data_hash": new.data_hash,
        "size": new.size,
        "created": now,
        "host": host_name(),
        "pid": os.getpid(),
        "process_start": process_mark(),
        "folder": f"runs/{short}",
        "journal_bytes": 0,
        "tags": json.dumps(clean_tree(new.tags)),
        "note": clean(new.note),
        "config": json.dumps(clean_tree(new.config)),
        "provenance": json.dumps(clean_tree(new.provenance or {})),
    }
    done = connection.execute(insert(table(Run)), row)
    key = done.inserted_primary_key
    assert key is not None
    return AddedRun(int(key[0]), identity, short)


def insert_foreign_run(database: Database, columns: Mapping[str, Any]) -> str:
    """Store a run described by another registry's journal; returns its uuid.

    Raises:
        UserError: the description lacks what a run must have.
    """
    runs = table(Run)
    known = {column.name for column in runs.columns} - set(_LOCAL)
    row = {name: value for name, value in columns.items() if name in known}
    missing = sorted(
        column.name
        for column in runs.columns
        if not column.nullable
        and column.server_default is None
        and column.name not in (*row, *_LOCAL)
    )
    if missing:
        raise UserError(f"the journal does not describe its run: {', '.join(missing)} missing")
    with database.begin() as connection:
        if _taken(connection, str(row["id"])):
            row["id"] = _unused(connection, str(row["kind"]), row.get("size"))
        connection.execute(insert(runs), {**row, "journal_bytes": 0})
    return str(row["uuid"])


def run_columns(database: Database, run_uuid: str) -> dict[str, Any]:
    """A run's row without what only means something in this registry.

    Raises:
        UserError: there is no such run.
    """
    names = [column.name for column in table(Run).columns if column.name not in _LOCAL]
    listed = ", ".join(f'"{name}"' for name in names)
    rows = database.read(f"SELECT {listed} FROM run WHERE uuid = :uuid", {"uuid": run_uuid})
    if not rows:
        raise UserError(f"registry {database.label} has no run with the uuid {run_uuid}")
    return dict(zip(names, rows[0], strict=True))


def stored_columns(connection: Connection, key: int) -> dict[str, Any]:
    """The same in an open transaction, for a run that is there."""
    runs = table(Run)
    columns = [column for column in runs.columns if column.name not in _LOCAL]
    row = connection.execute(select(*columns).where(runs.c.key == key)).one()
    return dict(row._mapping)


def update_run(database: Database, run_uuid: str, values: Mapping[str, Any]) -> None:
    """Set columns of a run.

    Raises:
        UserError: there is no such run, or the registry cannot be written.
    """
    runs = table(Run)
    with database.begin() as connection:
        done = connection.execute(update(runs).where(runs.c.uuid == run_uuid).values(**values))
        if done.rowcount == 0:
            raise UserError(f"registry {database.label} has no run with the uuid {run_uuid}")


def beat(connection: Connection, run_uuid: str) -> None:
    """Note a sign of life; a run that somebody gave up is running again."""
    runs = table(Run)
    revived = runs.c.status != RunStatus.RUNNING.value
    connection.execute(
        update(runs)
        .where(runs.c.uuid == run_uuid)
        .values(
            heartbeat=time.time(),
            status=RunStatus.RUNNING.value,
            ended=null(),
            exit_reason=case((revived, null()), else_=runs.c.exit_reason),
        )
    )


def plan_deletion(database: Database, run: RunRecord) -> Deletion:
    """Count what belongs to a run."""
    with reading(database) as connection:
        return _deletion(connection, database, run)


def delete_run(database: Database, run: RunRecord) -> Deletion:
    """Delete a run; everything it owns goes with it, most of it in many short transactions.

    Raises:
        UserError: it is still running, or the registry cannot be written.
    """
    if display_status(run) == RunStatus.RUNNING:
        raise UserError(f"run {run.id} is still running; stop it before it is deleted")
    going = plan_deletion(database, run)
    delete_in_slices(database, run.key)
    runs = table(Run)
    with database.begin() as connection:
        connection.execute(delete(runs).where(runs.c.key == run.key))
    return going


def _deletion(connection: Connection, database: Database, run: RunRecord) -> Deletion:
    evaluations, responses, verdicts = table(Evaluation), table(Response), table(Verdict)
    probes, probed = table(Probe), table(ProbedResponse)
    of_run = select(evaluations.c.key).where(evaluations.c.run == run.key)
    owned = (responses.c.evaluation.in_(of_run)) | (responses.c.run == run.key)
    answers = select(responses.c.key).where(owned)

    def count(rows: Any) -> int:
        return int(
            connection.execute(select(func.count()).select_from(rows.subquery())).scalar_one()
        )

    counted = {
        "metric": select(table(Metric).c.step).where(table(Metric).c.run == run.key),
        "evaluation": of_run,
        "rollout_batch": select(table(RolloutBatch).c.key).where(
            table(RolloutBatch).c.run == run.key
        ),
        "response": answers,
        "grade": select(verdicts.c.version)
        .join(responses, responses.c.verdict_set == verdicts.c.verdict_set)
        .where(owned),
        "probe": select(probes.c.key).where(probes.c.evaluation.in_(of_run)),
        "probed_response": select(probed.c.tokens).where(probed.c.response.in_(answers)),
        "event": select(table(Event).c.key).where(table(Event).c.run == run.key),
        "artifact": select(table(Artifact).c.key).where(table(Artifact).c.run == run.key),
    }
    rows = {name: count(query) for name, query in counted.items()}
    descended = tuple(child.id for child in children(database, run.uuid))
    return Deletion(run.id, rows, run.folder, descended)


def _free_id(connection: Connection, new: NewRun) -> str:
    if new.id is None:
        return _unused(connection, new.kind, new.size)
    if _taken(connection, new.id):
        raise UserError(f"there is a run {new.id} already; choose another id")
    return new.id


def _unused(connection: Connection, kind: str, size: int | None) -> str:
    for _ in range(_ATTEMPTS):
        short = new_run_id(kind, size)
        if not _taken(connection, short):
            return short
    raise UserError(f"no free id for another {kind} run was found; delete old runs")


def _taken(connection: Connection, short: str) -> bool:
    runs = table(Run)
    return connection.execute(select(runs.c.key).where(runs.c.id == short)).first() is not None


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)
