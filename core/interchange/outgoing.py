"""Runs as rows of four tables for other programs: runs, metrics, evaluations, events.

Times are seconds since the epoch. Values are what they are, NaN and infinities included; how a
format writes those is the format's affair.
"""

import json
from collections.abc import Iterator
from typing import Any

from core.registry.codec import join_value
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.segments import visible_ranges
from core.registry.store import Registry
from core.responses.names import GraderName

RUN_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run", "uuid", "kind", "name", "group", "status", "parent_uuid"), str),
    **dict.fromkeys(("seed", "size"), int),
    **dict.fromkeys(("model", "model_hash", "data", "data_hash", "config_hash"), str),
    **dict.fromkeys(("created", "started", "ended"), float),
    **dict.fromkeys(("host", "exit_reason", "tags", "note", "config", "provenance"), str),
}
METRIC_COLUMNS: dict[str, type] = {
    "run": str,
    "metric": str,
    "segment": int,
    "step": int,
    "value": float,
    "time": float,
    "superseded": bool,
}
EVALUATION_COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run", "evaluation"), str),
    **dict.fromkeys(("segment", "step"), int),
    "split": str,
    "time": float,
    **dict.fromkeys(("n", "type1", "type2", "type3", "unclosed", "unparseable"), int),
    **dict.fromkeys(("numeric", "truncated"), int),
    "grader": str,
    **dict.fromkeys(("accuracy", "interval_low", "interval_high"), float),
    **{f"accuracy_{grader}": float for grader in GraderName},
    "seconds": float,
    "generated_tokens": int,
    **dict.fromkeys(("generation", "grading", "protocol"), str),
}
EVENT_COLUMNS: dict[str, type] = {
    "run": str,
    "time": float,
    "step": int,
    **dict.fromkeys(("severity", "kind", "message", "data"), str),
}
TABLES: dict[str, dict[str, type]] = {
    "runs": RUN_COLUMNS,
    "metrics": METRIC_COLUMNS,
    "evaluations": EVALUATION_COLUMNS,
    "events": EVENT_COLUMNS,
}
"""Columns of each table with the type of their values; most values can be missing."""
Row = dict[str, Any]


def run_row(registry: Registry, run: RunRecord) -> Row:
    """A run; settings, tags and provenance are JSON texts."""
    provenance = json.dumps(registry.provenance(run.uuid), sort_keys=True)
    known = {"run": run.id, "status": run.status.value, "tags": run.tags_json}
    known |= {"config": run.config_json, "provenance": provenance}
    return {name: known.get(name, getattr(run, name, None)) for name in RUN_COLUMNS}


def metric_names(registry: Registry, run: RunRecord) -> list[str]:
    """Every metric that the run has a value of, in alphabetical order."""
    sql = """SELECT n.name FROM metric_name n WHERE n.key IN
        (SELECT DISTINCT m.name FROM metric m WHERE m.run = :run) ORDER BY n.name"""
    return [row[0] for row in registry.database.read(sql, {"run": run.key})]


def metric_rows(registry: Registry, run: RunRecord, name: str) -> Iterator[Row]:
    """Every value of one metric by segment and step, superseded ones too."""
    ranges = {part.segment: part for part in visible_ranges(registry.segments(run.uuid))}
    sql = """SELECT m.segment, m.step, m.value, m.nonfinite, m.time FROM metric m
        WHERE m.run = :run AND m.name = (SELECT n.key FROM metric_name n WHERE n.name = :name)
        ORDER BY m.segment, m.step"""
    given = {"run": run.key, "name": name}
    for segment, step, value, nonfinite, time in registry.database.read(sql, given):
        part = ranges.get(segment)
        yield {
            "run": run.id,
            "metric": name,
            "segment": segment,
            "step": step,
            "value": join_value(value, nonfinite),
            "time": time,
            "superseded": part is None or not part.holds(step),
        }


def evaluation_row(run: RunRecord, evaluation: EvaluationRecord) -> Row:
    """The figures of an evaluation; its protocol is a JSON text."""
    low, high = evaluation.interval
    known: Row = {
        "run": run.id,
        "evaluation": evaluation.uuid,
        "interval_low": low,
        "interval_high": high,
        "protocol": json.dumps(dict(evaluation.protocol), sort_keys=True),
    }
    shares = evaluation.accuracy_by_grader
    known |= {f"accuracy_{grader}": shares.get(grader) for grader in GraderName}
    return {
        name: known[name] if name in known else getattr(evaluation, name)
        for name in EVALUATION_COLUMNS
    }


def event_rows(registry: Registry, run: RunRecord) -> Iterator[Row]:
    """What happened, oldest first; further data is a JSON text."""
    for event in registry.events(run.uuid):
        data = None if event.data is None else json.dumps(event.data, sort_keys=True)
        yield {
            "run": run.id,
            "time": event.time,
            "step": event.step,
            "severity": event.severity,
            "kind": event.kind,
            "message": event.message,
            "data": data,
        }


def table_rows(registry: Registry, runs: list[RunRecord], table: str) -> Iterator[Row]:
    """The rows of one of `TABLES` for all runs, one run and one metric in memory at a time."""
    for run in runs:
        match table:
            case "runs":
                yield run_row(registry, run)
            case "metrics":
                for name in metric_names(registry, run):
                    yield from metric_rows(registry, run, name)
            case "evaluations":
                for evaluation in registry.evaluations([run.uuid]):
                    yield evaluation_row(run, evaluation)
            case "events":
                yield from event_rows(registry, run)
