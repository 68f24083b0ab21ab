"""Writes journal entries into the tables; applying an entry twice changes nothing."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from core.batches import batched
from core.registry.codec import compress_text, split_value
from core.registry.entries import (
    ArtifactEntry,
    Entry,
    EvaluationEntry,
    EventEntry,
    MetricsEntry,
    ProblemRow,
    ProtocolRow,
    ResponseRow,
    SegmentEntry,
    StatusEntry,
)
from core.registry.schema import (
    Artifact,
    Evaluation,
    Event,
    Grade,
    Metric,
    MetricName,
    Response,
    Run,
    Segment,
    StoredProblem,
    StoredProtocol,
    table,
)
from core.registry.summaries import rebuild_summaries, update_summaries
from core.registry.upsert import insert_new, upsert

_BATCH = 1000


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
        values["ended"] = entry.time
    connection.execute(update(runs).where(runs.c.key == run).values(values))


def _apply_metrics(connection: Connection, run: int, entries: Sequence[MetricsEntry]) -> None:
    if not entries:
        return
    keys = _name_keys(connection, {name for entry in entries for name in entry.values})
    rows, points = [], []
    for entry in entries:
        for name, number in entry.values.items():
            value, nonfinite = split_value(number)
            rows.append(
                {
                    "run": run,
                    "name": keys[name],
                    "segment": entry.segment,
                    "step": entry.step,
                    "value": value,
                    "nonfinite": nonfinite,
                    "time": entry.time,
                }
            )
            points.append((keys[name], entry.step, number))
    upsert(connection, table(Metric), rows, ("run", "name", "segment", "step"))
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
    _insert_responses(connection, key, head.protocol.data_hash, problems, responses)
    runs = table(Run)
    together = f"{head.protocol.generation}:{head.protocol.grading}"
    connection.execute(update(runs).where(runs.c.key == run).values(protocol_hash=together))


def protocol_key(connection: Connection, protocol: ProtocolRow) -> int:
    """Key of the stored protocol with these fields; it is stored when it is new."""
    protocols = table(StoredProtocol)
    fields = json.dumps(protocol.fields, sort_keys=True)
    digest = hashlib.sha256(fields.encode()).hexdigest()
    row = {
        "hash": digest,
        "generation": protocol.generation,
        "grading": protocol.grading,
        "fields": fields,
    }
    insert_new(connection, protocols, [row], ("hash",))
    query = select(protocols.c.key).where(protocols.c.hash == digest)
    return int(connection.execute(query).scalar_one())


def _insert_responses(
    connection: Connection,
    evaluation: int,
    data_hash: str,
    problems: Iterable[ProblemRow],
    rows: Iterable[ResponseRow],
) -> None:
    names = _problem_keys(connection, data_hash, problems)
    last = 0
    for batch in batched(rows, _BATCH):
        last = _insert_batch(connection, evaluation, names, batch, last)


def _insert_batch(
    connection: Connection,
    evaluation: int,
    problems: Mapping[str, int],
    batch: Sequence[ResponseRow],
    last: int,
) -> int:
    """Insert responses and their grades; returns the largest key, as `last` of the next batch."""
    responses = table(Response)
    rows = [
        {
            **row.model_dump(exclude={"grades", "flags", "text", "problem"}),
            "evaluation": evaluation,
            "problem": problems[row.problem],
            "flags": ",".join(row.flags),
            "text": compress_text(row.text),
        }
        for row in batch
    ]
    connection.execute(responses.insert(), rows)
    query = select(responses.c.problem, responses.c.sample, responses.c.key)
    new = (responses.c.evaluation == evaluation) & (responses.c.key > last)
    found = connection.execute(query.where(new))
    keys = {(problem, sample): key for problem, sample, key in found}
    grades = [
        {"response": keys[problems[row.problem], row.sample], **grade.model_dump()}
        for row in batch
        for grade in row.grades
    ]
    connection.execute(table(Grade).insert(), grades)
    return max(keys.values())


def _problem_keys(
    connection: Connection, data_hash: str, rows: Iterable[ProblemRow]
) -> dict[str, int]:
    problems = table(StoredProblem)
    for batch in batched(rows, _BATCH):
        new = [{"data_hash": data_hash, **problem.model_dump()} for problem in batch]
        insert_new(connection, problems, new, ("data_hash", "id"))
    query = select(problems.c.id, problems.c.key).where(problems.c.data_hash == data_hash)
    return {row.id: row.key for row in connection.execute(query)}
