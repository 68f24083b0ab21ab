"""W&B offline runs: `offline-run-*/run-ID.wandb`, with what it holds of a run's past.

    run = read_wandb(Path("wandb/offline-run-20250102_101500-k2j3h4g5"))

Steps follow `define_metric`: with `define_metric("train/*", step_metric="train_step")` a value
counts for the `train_step` of its row, as W&B's own charts show it; without one, for W&B's step.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.interchange import wandb_records as records
from core.interchange.decoding import inside, load_document
from core.interchange.foreign import ForeignEvaluation, ForeignRun, Source, fingerprint_of
from core.interchange.graded_rows import RowTally, names_responses, read_rows
from core.interchange.guesses import guess_data, guess_model, guess_seed
from core.interchange.limits import (
    LONGEST_RECORD,
    number_of,
    short_name,
    short_text,
    step_of,
    tidy_settings,
    time_of,
)
from core.interchange.record_files import read_log
from core.interchange.sentences import Damage, counted
from core.interchange.wire import Message, WireError
from core.registry.records import RunStatus

_INTERNAL = ("_step", "_runtime", "_timestamp", "_wandb")
_DEEPEST_VALUE = 6


@dataclass(slots=True)
class _Reading:
    """A run while its records are read."""

    run: ForeignRun
    head: records.RunHead | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)
    step_metrics: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    exit: tuple[int, int] | None = None
    rows: int = 0
    latest: float | None = None
    passed_over: Counter[str] = field(default_factory=Counter)
    tables: list[tuple[str, str, int, float]] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)


def wandb_file(path: Path) -> Path:
    """The `.wandb` file of a folder, or the file itself.

    Raises:
        UserError: there is none, or there are several.
    """
    if path.is_file():
        return path
    found = sorted(p for p in path.glob("run-*.wandb") if p.is_file() and not p.is_symlink())
    if len(found) != 1:
        raise UserError(f"{path} holds {len(found)} files run-*.wandb; an offline run has one")
    return found[0]


def read_wandb(path: Path) -> ForeignRun:
    """Read one run as far as its file can be read.

    Args:
        path: The folder of the run, or the `.wandb` file in it.

    Raises:
        UserError: there is no such file, or nothing in it can be read.
    """
    file = wandb_file(path)
    run = ForeignRun(Source.WANDB, f"{file.stem}@{file.parent.name}", path, fingerprint_of([file]))
    reading = _Reading(run)
    with file.open("rb") as source:
        for data in read_log(source, reading.damage, LONGEST_RECORD):
            try:
                _take(reading, Message(data))
            except WireError:
                reading.damage("a record is no message")
    if reading.head is None and not reading.rows:
        why = reading.damage.sentence() or "it holds no run and no history"
        raise UserError(f"{file} cannot be imported: {why}")
    _finish(reading, file)
    return run


def _take(reading: _Reading, record: Message) -> None:
    match records.kind_of(record):
        case records.HISTORY:
            _take_row(reading, record)
        case records.RUN:
            reading.head = head = records.run_head(record)
            reading.settings |= head.settings
        case records.CONFIG:
            records.merge_items(reading.settings, record.message(records.CONFIG), 1)
        case records.SUMMARY:
            records.merge_items(reading.summary, record.message(records.SUMMARY), 1)
        case records.METRIC:
            metric = record.message(records.METRIC)
            if step := metric.text(4):
                reading.step_metrics[metric.text(2) or metric.text(1)] = step
        case records.EXIT:
            reading.exit = records.exit_code(record)
        case records.ENVIRONMENT:
            reading.environment |= records.environment(record)
        case records.STATS:
            reading.passed_over["measurements of the machine"] += 1


def _take_row(reading: _Reading, record: Message) -> None:
    row = records.items(record.message(records.HISTORY), 1)
    step = step_of(row.get("_step", records.history_step(record)))
    when = time_of(row.get("_timestamp")) or 0.0
    reading.rows += 1
    if when:
        reading.latest = max(when, reading.latest or when)
    counters = set(reading.step_metrics.values())
    for name in counters & row.keys():
        known = step_of(row[name])
        if known is not None:
            reading.seen[name] = known
    for key, value in row.items():
        if key in _INTERNAL or key in counters:
            continue
        own = reading.seen.get(_step_metric(reading.step_metrics, key), step)
        if own is None:
            reading.passed_over["values whose step is no whole number"] += 1
            continue
        _take_value(reading, key, value, own, when, 0)


def _take_value(
    reading: _Reading, key: str, value: Any, step: int, when: float, depth: int
) -> None:
    number = number_of(value)
    if number is not None:
        reading.run.curves.add(key, step, when, number)
    elif isinstance(value, Mapping) and "_type" in value:
        if value["_type"] == "table-file" and isinstance(value.get("path"), str):
            reading.tables.append((key, value["path"], step, when))
        else:
            reading.passed_over[f"values of the type {short_name(value['_type'])[:40]}"] += 1
    elif isinstance(value, Mapping) and depth < _DEEPEST_VALUE:
        for name, item in value.items():
            _take_value(reading, f"{key}.{name}", item, step, when, depth + 1)
    elif value is not None:
        reading.passed_over["values that are no numbers"] += 1


def _step_metric(defined: Mapping[str, str], key: str) -> str:
    """The metric that counts the steps of another; an exact definition wins over `name/*`."""
    if key in defined:
        return defined[key]
    fitting = [g for g in defined if g.endswith("*") and key.startswith(g[:-1])]
    return defined[max(fitting, key=len)] if fitting else ""


def _finish(reading: _Reading, file: Path) -> None:
    run, head = reading.run, reading.head
    reading.settings.pop("_wandb", None)
    readable = {k: v for k, v in reading.settings.items() if v is not records.UNREADABLE}
    run.settings, cut = tidy_settings(readable)
    run.seed = guess_seed(run.settings)
    run.model, run.data = guess_model(run.settings), guess_data(run.settings)
    if head is not None:
        _describe(run, head)
    _settle(reading, file)
    final = {k: v for k, v in reading.summary.items() if not k.startswith("_")}
    facts = {**reading.environment, "summary": final, **_labels(head)}
    run.origin = tidy_settings({k: v for k, v in facts.items() if v})[0]
    for key, name, step, when in reading.tables:
        _take_table(run, file.parent / "files", key, name, step, when)
    run.left_out += reading.damage.sentences()
    run.left_out += counted(reading.passed_over)
    if cut:
        run.left_out.append(f"{cut} settings that are nested too deeply, too many, or secret")


def _describe(run: ForeignRun, head: records.RunHead) -> None:
    if head.run_id:
        labels = (head.entity, head.project, head.run_id, f"{head.started or ''}")
        run.identity = "/".join(labels)
    run.name = short_name(head.name) or short_name(head.run_id) or None
    run.group = short_name(head.group or head.project) or None
    run.note = short_text(head.notes)
    run.tags = tuple(short_name(tag) for tag in head.tags[:100])
    run.host = short_name(head.host) or None
    run.created = run.started = time_of(head.started)


def _settle(reading: _Reading, file: Path) -> None:
    run = reading.run
    run.ended = reading.latest or run.started or file.stat().st_mtime
    run.started = run.started or run.curves.span()[0] or run.ended
    run.created = run.started
    if reading.exit is None:
        run.exit_reason = "the file does not say how the run ended"
        return
    code, seconds = reading.exit
    run.ended = max(run.ended, time_of(run.started + max(0, seconds)) or run.ended)
    run.status = RunStatus.FINISHED if code == 0 else RunStatus.FAILED
    run.exit_reason = "completed" if code == 0 else f"exit code {code}"


def _labels(head: records.RunHead | None) -> dict[str, Any]:
    if head is None:
        return {}
    names = ("run_id", "entity", "project", "job_type", "sweep", "remote", "commit")
    return {name: getattr(head, name) for name in names if getattr(head, name)}


def _take_table(run: ForeignRun, folder: Path, key: str, name: str, step: int, when: float) -> None:
    """A logged table becomes an evaluation where its columns are those of graded responses."""
    title = f"table {short_name(key)} of step {step}"
    path = inside(folder, name)
    if path is None:
        run.left_out.append(f"{title}: its file is not in the folder of the run")
        return
    try:
        rows = _table_rows(load_document(path))
    except UserError as error:
        run.left_out.append(f"{title}: {error}")
        return
    if rows is None:
        run.left_out.append(f"{title}: its columns are not question, response and truth")
        return
    tally = RowTally()
    responses = read_rows(rows, title, tally)
    run.evaluations.append(ForeignEvaluation(title, step, short_name(key), when, responses, tally))


def _table_rows(document: Any) -> Iterator[dict[str, Any]] | None:
    """The rows with their column names; None where they are no responses."""
    if not isinstance(document, Mapping):
        return None
    columns, rows = document.get("columns"), document.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        return None
    names = [str(column) for column in columns]
    if not names_responses(names):
        return None
    return (dict(zip(names, row, strict=False)) for row in rows if isinstance(row, list))
