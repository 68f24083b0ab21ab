"""A plan whose cells are chosen as it goes: its trials, read back from the runs of a registry.

The registry is the only store. A trial is a point of the space under every seed of the plan; its
runs carry its number as a tag and its settings as settings, so that a search that was killed knows
all it knew before.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.config.flat import flatten
from core.errors import UserError
from core.plans.cells import Cell, Cells, cell_at
from core.plans.form import Search
from core.plans.plan import Plan
from core.plans.runs import CellState, cell_runs, runs_by_tag
from core.registry.records import RunRecord
from core.registry.store import Registry

_TAG = "trial:"
Point = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the space.

    Attributes:
        cells: One for each seed of the plan.
        starts: Cells that they start from.
        value: Mean of the metric over the seeds; None while it is open, or where a seed failed.
        failed: A seed failed, so that there is no value.
    """

    number: int
    point: Point
    cells: tuple[Cell, ...]
    starts: tuple[Cell, ...]
    value: float | None = None
    failed: bool = False

    @property
    def settled(self) -> bool:
        """It has a value, or never will."""
        return self.failed or self.value is not None


Ask = Callable[[int, Sequence[Trial]], Point]
"""Chooses the point of a trial from the trials that it may know."""


def trials(plan: Plan, registry: Registry, ask: Ask | None = None) -> list[Trial]:
    """The trials so far, and those that can be begun now.

    Trial n is chosen from trials 0 to n - parallel, all of them settled: the same trials whatever
    ended first, and again after a kill.

    Args:
        plan: With a search.
        registry: Where its runs are.
        ask: Chooses points; None takes only trials that have begun.
    """
    search = _search(plan)
    recorded = _recorded(plan, registry, search)
    found: list[Trial] = []
    for number in range(search.trials):
        basis = found[: max(0, number - search.parallel + 1)]
        point = recorded.get(number)
        if point is None:
            if ask is None:
                continue
            if not all(trial.settled for trial in basis):
                break
            point = ask(number, basis)
        found.append(_trial(plan, registry, number, point))
    return found


def with_trials(plan: Plan, found: Sequence[Trial]) -> Plan:
    """The plan with the cells of its trials; a point that was chosen twice has its cells once."""
    starts = {cell.id: cell for trial in found for cell in trial.starts}
    cells: dict[str, Cell] = {}
    for trial in found:
        for cell in trial.cells:
            cells.setdefault(cell.id, cell)
    return replace(plan, all=Cells(tuple(starts.values()), tuple(cells.values())))


def known_cells(plan: Plan, registry: Registry) -> Plan:
    """A plan with the cells that it has by now; one without a search has them from the start."""
    return plan if plan.form.search is None else with_trials(plan, trials(plan, registry))


def _search(plan: Plan) -> Search:
    if plan.form.search is None:
        raise UserError(f"plan {plan.path} has no [search]; leave out --search")
    return plan.form.search


def _recorded(plan: Plan, registry: Registry, search: Search) -> dict[int, Point]:
    points: dict[int, Point] = {}
    for tag, runs in runs_by_tag(registry, plan.name).items():
        if tag.startswith(_TAG) and tag.removeprefix(_TAG).isdecimal():
            points[int(tag.removeprefix(_TAG))] = _point(runs[0], search)
    return points


def _point(run: RunRecord, search: Search) -> Point:
    """Where a run lies in the space."""
    settings = flatten(run.config)
    return {key: settings.get(key, "full" if key == "data.size" else None) for key in search.space}


def _trial(plan: Plan, registry: Registry, number: int, point: Point) -> Trial:
    made = [cell_at(plan.form, point, seed) for seed in plan.form.seeds]
    starts = tuple({start.id: start for start, _ in made if start is not None}.values())
    trial = Trial(number, point, tuple(_numbered(cell, number) for _, cell in made), starts)
    found = cell_runs(registry, plan, (*starts, *trial.cells))
    if any(each.state is CellState.FAILED for each in found.values()):
        return replace(trial, failed=True)
    runs = [found[cell.id].run for cell in trial.cells]
    if any(found[cell.id].state is not CellState.FINISHED for cell in trial.cells):
        return trial
    return _valued(trial, registry, [run for run in runs if run is not None], _search(plan))


def _numbered(cell: Cell, number: int) -> Cell:
    tags = (*cell.config.tags, f"{_TAG}{number}")
    name = f"trial {number} {cell.title}"[:120]
    labels = {"tags": tags, "name": name}
    return replace(cell, config=cell.config.model_copy(update=labels))


def _valued(trial: Trial, registry: Registry, runs: Sequence[RunRecord], search: Search) -> Trial:
    last = registry.last_evaluations([run.uuid for run in runs])
    values = []
    for run in runs:
        if run.uuid not in last:
            return replace(trial, failed=True)
        counts = registry.counts_by_problem(last[run.uuid].uuid, search.metric, search.grader)
        hits, asked = (sum(column) for column in zip(*counts.values(), strict=True))
        values.append(hits / asked)
    return replace(trial, value=statistics.fmean(values))
