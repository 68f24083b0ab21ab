"""The cells of a plan as a table: state, run, progress, accuracy."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import duration, interval, percent
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table
from a5ctl.tables.runs import run_seconds
from core.plans.length import expected_updates, share_done
from core.plans.runs import CellRun, CellState
from core.registry.processes import host_name
from core.registry.records import Headline, RunRecord
from core.registry.store import Registry

_TOKENS = "tokens_total"
_STEP_SECONDS = "step_seconds"
TITLE = 40
"""Characters that tell one cell from another: figures go before these are cut."""
_STYLES = {
    CellState.MISSING: "dim",
    CellState.RUNNING: "cyan",
    CellState.STALE: "magenta",
    CellState.INTERRUPTED: "yellow",
    CellState.FAILED: "bold red",
    CellState.GIVEN_UP: "dim yellow",
    CellState.FINISHED: "green",
}


@dataclass(frozen=True, slots=True)
class CellLine:
    """What is said about one cell.

    Attributes:
        step: Updates done; `total` of the whole run, None where it is not known beforehand.
        share: How much is done, in [0, 1].
        left: Seconds that a running cell still takes, at its pace so far.
        seconds: It has taken so far.
        starting: A process was started for it that the registry has not heard of yet.
    """

    found: CellRun
    step: int | None = None
    total: int | None = None
    share: float | None = None
    headline: Headline | None = None
    left: float | None = None
    seconds: float | None = None
    starting: bool = False


def cell_lines(
    registry: Registry, found: Iterable[CellRun], under_way: Collection[str] = ()
) -> list[CellLine]:
    """Everything the table shows, in a few queries however many cells there are.

    Args:
        registry: Where the figures are.
        found: Cells with their runs.
        under_way: Ids of cells that a process was started for.
    """
    found = list(found)
    uuids = [each.run.uuid for each in found if each.run is not None]
    headlines, steps = registry.headlines(uuids), registry.last_steps(uuids)
    summaries = registry.metric_summaries(uuids, [_TOKENS, _STEP_SECONDS])
    lines = []
    for each in found:
        waiting = not (each.state.done or each.state.held)
        starting = waiting and each.cell.id in under_way
        if each.run is None:
            lines.append(CellLine(each, starting=starting))
            continue
        run, own = each.run, summaries.get(each.run.uuid, {})
        step = steps.get(run.uuid)
        fed = own[_TOKENS].last if _TOKENS in own else None
        line = CellLine(
            each,
            step,
            expected_updates(run.config, run.size),
            share_done(run.config, run.size, step, fed),
            headlines.get(run.uuid),
            seconds=run_seconds(run, time.time()),
            starting=starting,
        )
        pace = own[_STEP_SECONDS].last if _STEP_SECONDS in own else None
        lines.append(replace(line, left=_left(registry, line, pace)))
    return lines


def _left(registry: Registry, line: CellLine, pace: float | None) -> float | None:
    """At the pace so far; of a run that went on after a stop, at that of its last update."""
    run = line.found.run
    if run is None or line.found.state is not CellState.RUNNING or not line.share:
        return None
    if registry.segments(run.uuid):
        if pace is None or line.total is None or line.step is None:
            return None
        return pace * (line.total - line.step)
    return None if line.seconds is None else line.seconds * (1 - line.share) / line.share


def cells_table(lines: Sequence[CellLine], console: Console) -> FittedTable:
    """The cells for people, in the order of the plan."""

    def column(header: str, cells: Iterable[str], importance: int, **options: Any) -> FitColumn:
        return FitColumn(header, [plain(cell) for cell in cells], importance, **options)

    runs = [line.found.run for line in lines]
    heads = [line.headline for line in lines]
    columns = [
        column("cell", [line.found.cell.id for line in lines], 99),
        column("what", [_what(line) for line in lines], 98, elastic=TITLE),
        FitColumn("state", [_state(line) for line in lines], 95),
        column("run", [run.id if run else "" for run in runs], 90),
        column("step", [_progress(line) for line in lines], 70, right=True),
        column("accuracy", [percent(h.accuracy) if h else "-" for h in heads], 85, right=True),
        column("95%", [interval(h.interval) if h else "-" for h in heads], 40),
        column("took", [duration(line.seconds) for line in lines], 50, right=True),
        column("left", [duration(line.left) for line in lines], 75, right=True),
        column("host", _hosts(runs), 20, elastic=8),
    ]
    return fitted_table(columns, console)


def _hosts(runs: Iterable[RunRecord | None]) -> list[str]:
    """Where each runs; nothing where all of it is on this machine."""
    hosts = [(run.host or "") if run else "" for run in runs]
    return [""] * len(hosts) if set(hosts) <= {"", host_name()} else hosts


def _state(line: CellLine) -> Text:
    return plain("starting", "cyan") if line.starting else state_text(line.found.state)


def state_text(state: CellState) -> Text:
    """A state in its colour."""
    return plain(state.value, _STYLES[state])


def state_counts(found: Iterable[CellRun]) -> str:
    """Such as `3 finished, 1 running, 8 missing`."""
    states = [each.state for each in found]
    order = [CellState.FINISHED, CellState.GIVEN_UP, CellState.RUNNING, CellState.STALE]
    order += [CellState.INTERRUPTED, CellState.FAILED, CellState.MISSING]
    return ", ".join(f"{states.count(s)} {s}" for s in order if s in states) or "no cells yet"


def cell_json(line: CellLine) -> dict[str, Any]:
    """One cell for programs."""
    cell, run, headline = line.found.cell, line.found.run, line.headline
    return {
        "cell": cell.id,
        "title": cell.title,
        "labels": plain_labels(cell.labels),
        "start": cell.start,
        "state": line.found.state.value,
        "run": run.id if run else None,
        "host": run.host if run else None,
        "reason": run.exit_reason if run else None,
        "step": line.step,
        "total": line.total,
        "accuracy": headline.accuracy if headline else None,
        "interval": list(headline.interval) if headline else None,
        "evaluated_step": headline.step if headline else None,
        "seconds": line.seconds,
        "seconds_left": line.left,
    }


def plain_labels(labels: Mapping[str, Any]) -> dict[str, Any]:
    """Labels as JSON has them."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in labels.items()}


def _what(line: CellLine) -> str:
    return line.found.cell.title


def _progress(line: CellLine) -> str:
    if line.step is None:
        return "-"
    return str(line.step) if not line.total else f"{line.step}/{line.total}"
