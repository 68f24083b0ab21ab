"""The list of runs: one row per run."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import age, duration, interval, iso, percent, tail
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table
from core.registry.liveness import LOST, STALE, display_status
from core.registry.records import Headline, RunRecord
from core.registry.store import Registry

STATUS_STYLES = {
    "queued": "dim",
    "running": "cyan",
    "finished": "green",
    "failed": "bold red",
    "interrupted": "yellow",
    STALE: "magenta",
    LOST: "bold magenta",
}


@dataclass(frozen=True, slots=True)
class RunLine:
    """What the list says about one run."""

    run: RunRecord
    status: str
    headline: Headline | None
    step: int | None


def run_lines(registry: Registry, runs: Sequence[RunRecord]) -> list[RunLine]:
    """Everything the list shows, in two queries however many runs there are."""
    uuids = [run.uuid for run in runs]
    headlines, steps = registry.headlines(uuids), registry.last_steps(uuids)
    return [
        RunLine(run, display_status(run), headlines.get(run.uuid), _step(run, headlines, steps))
        for run in runs
    ]


def runs_table(lines: Sequence[RunLine], console: Console) -> FittedTable:
    """The list for people."""
    now = time.time()
    runs = [line.run for line in lines]

    def column(header: str, cells: list[Text], importance: int, **options: Any) -> FitColumn:
        return FitColumn(header, cells, importance, **options)

    columns = [
        column("run", [plain(run.id, "bold") for run in runs], 99),
        column("kind", [plain(run.kind) for run in runs], 20),
        column("status", [status_text(line.status) for line in lines], 90),
        column("accuracy", [_accuracy(line) for line in lines], 95, right=True),
        column("95%", [_interval(line) for line in lines], 40),
        column("size", [_number(run.size) for run in runs], 60, right=True),
        column("seed", [_number(run.seed) for run in runs], 65, right=True),
        column("step", [_number(line.step) for line in lines], 70, right=True),
        column("model", [plain(tail(run.model)) for run in runs], 55, elastic=12),
        column("data", [plain(tail(run.data)) for run in runs], 45, elastic=10),
        column("age", [plain(age(now - run.created)) for run in runs], 80, right=True),
        column("took", [plain(duration(run_seconds(run, now))) for run in runs], 50, right=True),
        column("group", [plain(run.group or "") for run in runs], 35, elastic=12),
        column("name", [plain(run.name or "") for run in runs], 75, elastic=12),
    ]
    return fitted_table(columns, console)


def run_json(line: RunLine) -> dict[str, Any]:
    """One run for programs; times in ISO 8601, UTC."""
    run, headline = line.run, line.headline
    return {
        "id": run.id,
        "uuid": run.uuid,
        "kind": run.kind,
        "name": run.name,
        "group": run.group,
        "status": line.status,
        "size": run.size,
        "seed": run.seed,
        "model": run.model,
        "data": run.data,
        "step": line.step,
        "accuracy": headline.accuracy if headline else None,
        "interval": list(headline.interval) if headline else None,
        "n": headline.n if headline else None,
        "evaluated_step": headline.step if headline else None,
        "split": headline.split if headline else None,
        "created": iso(run.created),
        "started": iso(run.started),
        "ended": iso(run.ended),
        "seconds": run_seconds(run),
        "exit_reason": run.exit_reason,
        "config_hash": run.config_hash,
        "parent": run.parent_uuid,
        "selected_on_test": run.selected_on_test,
        "tags": list(run.tags),
        "note": run.note,
        "folder": run.folder,
    }


def status_text(status: str) -> Text:
    """A status in its colour."""
    return plain(status, STATUS_STYLES.get(status, ""))


def run_seconds(run: RunRecord, now: float | None = None) -> float | None:
    """How long a run took, or has been running; up to the last sign of life where it went quiet."""
    if run.started is None:
        return None
    quiet = display_status(run) in (STALE, LOST)
    open_end = run.heartbeat if quiet else (now or time.time())
    end = run.ended if run.ended is not None else open_end
    return max(0.0, (end or run.started) - run.started)


def _step(run: RunRecord, headlines: dict[str, Headline], steps: dict[str, int]) -> int | None:
    trained = steps.get(run.uuid)
    headline = headlines.get(run.uuid)
    return trained if trained is not None else headline.step if headline else None


def _accuracy(line: RunLine) -> Text:
    return plain(percent(line.headline.accuracy) if line.headline else "-", "bold")


def _interval(line: RunLine) -> Text:
    return plain(interval(line.headline.interval) if line.headline else "-", "dim")


def _number(value: int | None) -> Text:
    return plain("-" if value is None else str(value))
