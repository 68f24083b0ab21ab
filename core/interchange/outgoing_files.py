"""Runs as files: one JSON document, tables in CSV or Parquet, or TensorBoard logs."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from core.interchange.event_writer import EventWriter
from core.interchange.outgoing import (
    Row,
    evaluation_row,
    event_rows,
    metric_names,
    metric_rows,
    run_row,
)
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry

JSON_VERSION = 1
_COUNTED = ("type1", "type2", "type3", "unclosed", "unparseable", "truncated")


def write_json(registry: Registry, runs: list[RunRecord], file: IO[bytes]) -> None:
    """One document; only one metric of one run is in memory at a time.

    Values that JSON cannot hold are the texts `NaN`, `Infinity` and `-Infinity`.
    """
    file.write(f'{{"format": "a5ctl runs", "version": {JSON_VERSION}, "runs": ['.encode())
    for number, run in enumerate(runs):
        file.write(b",\n" if number else b"\n")
        head = _dumped(_nested(run_row(registry, run), "tags", "config", "provenance"))
        file.write(head.removesuffix("}").encode() + b', "metrics": {')
        for index, name in enumerate(metric_names(registry, run)):
            columns = _columns(metric_rows(registry, run, name))
            file.write(b",\n" if index else b"\n")
            file.write(f"{_dumped(name)}: {_dumped(columns)}".encode())
        evaluations = [
            _nested(evaluation_row(run, e), "protocol") for e in registry.evaluations([run.uuid])
        ]
        events = [_nested(row, "data") for row in event_rows(registry, run)]
        file.write(f'}}, "evaluations": {_dumped(evaluations)}'.encode())
        file.write(f', "events": {_dumped(events)}}}'.encode())
    file.write(b"\n]}\n")


def json_number(value: float) -> float | str:
    """A number, or the text that stands for one that JSON cannot hold."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def write_tensorboard(
    registry: Registry, run: RunRecord, folder: Path, on_text: Callable[[str], str] = str
) -> None:
    """A folder with one event file: curves, the figures of evaluations, settings, and events.

    TensorBoard knows no segments, so that superseded values are left out.

    Args:
        on_text: Makes texts harmless for a reader that shows them as Markdown.
    """
    began = run.created
    name = f"events.out.tfevents.{int(began)}.{run.id}.a5ctl"
    with EventWriter(folder / name, began) as writer:
        writer.text("config", 0, began, json.dumps(run.config, sort_keys=True))
        for metric in metric_names(registry, run):
            for row in metric_rows(registry, run, metric):
                if not row["superseded"]:
                    writer.scalar(metric, row["step"], row["time"], row["value"])
        for evaluation in registry.evaluations([run.uuid]):
            for tag, value in evaluation_scalars(evaluation):
                writer.scalar(tag, evaluation.step, evaluation.time, value)
        for event in registry.events(run.uuid):
            text = on_text(f"{event.severity} {event.kind}: {event.message}")
            writer.text("events", event.step or 0, event.time, text)


def evaluation_scalars(evaluation: EvaluationRecord) -> Iterator[tuple[str, float]]:
    """(tag, value) of an evaluation's figures, counts as shares of all responses."""
    top = f"evaluation/{evaluation.split}"
    yield f"{top}/accuracy", evaluation.accuracy
    for grader, share in sorted(evaluation.accuracy_by_grader.items()):
        yield f"{top}/accuracy_{grader}", share
    for name in _COUNTED:
        yield f"{top}/{name}", getattr(evaluation, name) / max(1, evaluation.n)


def _nested(row: Row, *names: str) -> Row:
    """With JSON texts as what they hold; a table cannot nest, a document can."""
    return {
        name: json.loads(value) if name in names and isinstance(value, str) else value
        for name, value in row.items()
    }


def _columns(rows: Iterator[Row]) -> dict[str, list[Any]]:
    names = ("segment", "step", "value", "time", "superseded")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name in names:
            value = row[name]
            columns[name].append(json_number(value) if name == "value" else value)
    return columns


def _dumped(value: Any) -> str:
    # the one control character that JSON leaves as it is
    return json.dumps(_finite(value), allow_nan=False).replace("\x7f", "\\u007f")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
