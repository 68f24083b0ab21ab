"""Writes journal entries into the tables; applying an entry twice changes nothing."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from core.registry.codec import clean, split_value
from core.registry.entries import (
    ArtifactEntry,
    Entry,
    EvaluationEntry,
    EventEntry,
    MetricsEntry,
    ProblemRow,
    ResponseRow,
    RolloutsEntry,
    SegmentEntry,
    StatusEntry,
)
from core.registry.later_entries import ConfigEntry, ProbeEntry, RegradeEntry
from core.registry.probe_writes import write_probe
from core.registry.protocol_rows import protocol_key
from core.registry.regrade_writes import write_regrade
from core.registry.response_writes import Owner, insert_responses
from core.registry.rollout_entries import rows_of
from core.registry.schema import (
    Artifact,
    Evaluation,
    Event,
    Metric,
    MetricName,
    RolloutBatch,
    Run,
    Segment,
    table,
)
from core.registry.summaries import rebuild_summaries, update_summaries
from core.registry.upsert import insert_new, upsert, upsert_many


def apply_entries(connection: Connection, run: int, entries: Sequence[Entry]) -> None:
    """Apply entries in order.

    Args:
        connection: An open write transaction.
        run: Key of the run.
        entries: As recorded; neighbouring metrics go in together.
    """
    metrics: list[MetricsEntry] = []
    for entry in entries:
        if isinstance(entry, MetricsEntry):
            metrics.append(entry)
            continue
        _apply_metrics(connection, run, metrics)
        metrics = []
        _apply_one(connection, run, entry)
    _apply_metrics(connection, run, metrics)


def _apply_one(connection: Connection, run: int, entry: Entry) -> None:
    match entry:
        case StatusEntry():
            _apply_status(connection, run, entry)
        case SegmentEntry():
            row = {"run": run, **entry.model_dump(include={"number", "start_step", "time"})}
            insert_new(connection, table(Segment), [row], ("run", "number"))
            rebuild_summaries(connection, run)
        case EventEntry():
            row = {"run": run, **entry.model_dump(exclude={"entry", "data"})}
            row["data"] = None if entry.data is None else json.dumps(entry.data)
            insert_new(connection, table(Event), [row], ("uuid",))
        case ArtifactEntry():
            row = {"run": run, **entry.model_dump(exclude={"entry"})}
            upsert(connection, table(Artifact), [row], ("run", "path"))
        case EvaluationEntry():
            store_evaluation(connection, run, entry, entry.problems, entry.responses)
        case RolloutsEntry():
            _store_rollouts(connection, run, entry)
        case ConfigEntry():
            values = {"config": clean(json.dumps(entry.config)), "config_hash": entry.config_hash}
            runs = table(Run)
            connection.execute(update(runs).where(runs.c.key == run).values(values))
        case RegradeEntry():
            write_regrade(connection, entry)
        case ProbeEntry():
            write_probe(connection, entry)


def _apply_status(connection: Connection, run: int, entry: StatusEntry) -> None:
    runs = table(Run)
    values: dict[str, Any] = {"status": entry.status, "exit_reason": entry.exit_reason}
    values["traceback"] = entry.traceback
    if entry.status == "running":
        who = {"host": entry.host, "pid": entry.pid, "process_start": entry.process_start}
        values |= {**who, "heartbeat": entry.time, "ended": None}
        first = update(runs).where(runs.c.key == run, runs.c.started.is_(None))
        connection.execute(first.values(started=entry.time))
    else:
        # the end is the last sign of life: a merge knows no other
        values |= {"ended": entry.time, "heartbeat": entry.time}
    connection.execute(update(runs).where(runs.c.key == run).values(values))


def _apply_metrics(connection: Connection, run: int, entries: Sequence[MetricsEntry]) -> None:
    if not entries:
        return
    keys = _name_keys(connection, {name for entry in entries for name in entry.values})
    rows = []
    points: dict[int, list[tuple[int, float]]] = {}
    for entry in entries:
        segment, step, when = entry.segment, entry.step, entry.time
        for name, number in entry.values.items():
            key = keys[name]
            rows.append((run, key, segment, step, *split_value(number), when))
            points.setdefault(key, []).append((step, number))
    upsert_many(connection, table(Metric), rows, ("run", "name", "segment", "step"))
    update_summaries(connection, run, points)


def _name_keys(connection: Connection, names: set[str]) -> dict[str, int]:
    interned = table(MetricName)
    insert_new(connection, interned, [{"name": name} for name in sorted(names)], ("name",))
    query = select(interned.c.name, interned.c.key).where(interned.c.name.in_(names))
    return {row.name: row.key for row in connection.execute(query)}


def store_evaluation(
    connection: Connection,
    run: int,
    head: EvaluationEntry,
    problems: Iterable[ProblemRow],
    responses: Iterable[ResponseRow],
) -> None:
    """Insert an evaluation unless it is there; only a batch of its rows is in memory at a time.

    Args:
        connection: An open write transaction.
        run: Key of the run.
        head: Its figures; problems and responses in it are not looked at.
        problems: Every problem that the responses answer.
        responses: In the order asked.
    """
    evaluations = table(Evaluation)
    known = select(evaluations.c.key).where(evaluations.c.uuid == head.uuid)
    if connection.execute(known).first() is not None:
        return
    copied = {"uuid", "segment", "step", "split", "time", "n", "type1", "type2", "type3"}
    copied |= {"unclosed", "unparseable", "numeric", "truncated", "accuracy", "seconds"}
    row = {
        **head.model_dump(include=copied | {"generated_tokens"}),
        "run": run,
        "protocol": protocol_key(connection, head.protocol),
        "interval_low": head.interval[0],
        "interval_high": head.interval[1],
        "accuracies": json.dumps(head.accuracies),
        "lengths": json.dumps(head.lengths),
    }
    connection.execute(evaluations.insert(), row)
    key = connection.execute(known).scalar_one()
    owner = Owner("evaluation", key, run)
    insert_responses(connection, owner, head.protocol.data_hash, problems, responses)
    runs = table(Run)
    together = f"{head.protocol.generation}:{head.protocol.grading}"
    connection.execute(update(runs).where(runs.c.key == run).values(protocol_hash=together))


def _store_rollouts(connection: Connection, run: int, entry: RolloutsEntry) -> None:
    """Insert a batch; one that is there, because a resumed run goes on with it, only moves on."""
    batches = table(RolloutBatch)
    same = batches.c.uuid == entry.uuid
    known = connection.execute(select(batches.c.segment).where(same)).scalar()
    if known is not None:
        if known < entry.segment:
            connection.execute(update(batches).where(same).values(segment=entry.segment))
        return
    problems, rows = rows_of(entry)
    row = {**entry.model_dump(exclude={"entry", "data_hash", "problems", "rows"}), "run": run}
    connection.execute(batches.insert(), row)
    key = connection.execute(select(batches.c.key).where(same)).scalar_one()
    owner = Owner("batch", key, run, {"run": run, "step": entry.step})
    insert_responses(connection, owner, entry.data_hash, problems, rows)
