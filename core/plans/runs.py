"""The runs of a plan's cells in a registry, and where each cell stands."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.plans.cells import Cell, start_group
from core.plans.plan import Plan
from core.registry.liveness import LOST, STALE, display_status
from core.registry.records import RunRecord
from core.registry.store import Registry

GIVEN_UP = "given up by its plan"
"""How the reason of a run begins that a rule of its plan has stopped."""


class CellState(StrEnum):
    """Where a cell stands."""

    MISSING = "missing"
    """It was never begun."""
    RUNNING = "running"
    """A process works at it."""
    STALE = "stale"
    """Its process, on another machine, has been silent for over a minute."""
    INTERRUPTED = "interrupted"
    """Begun, and nobody works at it: it can go on from its checkpoint."""
    FAILED = "failed"
    """It ended by an error."""
    GIVEN_UP = "given up"
    """A rule of the plan has stopped it."""
    FINISHED = "finished"

    @property
    def done(self) -> bool:
        """Nothing more is to be made of it."""
        return self in (CellState.FINISHED, CellState.GIVEN_UP)

    @property
    def held(self) -> bool:
        """Somebody may be at work."""
        return self in (CellState.RUNNING, CellState.STALE)


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell with its run.

    Attributes:
        run: The one that counts: finished before alive before interrupted, then the newest.
    """

    cell: Cell
    state: CellState
    run: RunRecord | None = None


def plan_runs(registry: Registry, plan: Plan) -> dict[str, RunRecord]:
    """The run of every cell that has one, by cell id; those that cells start from are among them.

    Archived runs do not count: archiving the run of a cell makes the plan ask for it again.
    """
    return {key: found.run for key, found in cell_runs(registry, plan).items() if found.run}


def cell_runs(
    registry: Registry, plan: Plan, cells: Iterable[Cell] | None = None
) -> dict[str, CellRun]:
    """Where every cell stands, by cell id, in the order to run them.

    Args:
        registry: Where the runs are.
        plan: The plan.
        cells: Only these; all cells and the stages before them when not given.
    """
    wanted = plan.by_id.values() if cells is None else cells
    by_tag = runs_by_tag(registry, plan.name)
    return {cell.id: _standing(cell, by_tag.get(cell.tag, ())) for cell in wanted}


def runs_by_tag(registry: Registry, name: str) -> Mapping[str, list[RunRecord]]:
    """Runs of a plan by each of their tags, newest first."""
    found: dict[str, list[RunRecord]] = {}
    for group in (name, start_group(name)):
        for run in registry.runs(group=group):
            for tag in set(run.tags) | _own_tags(run):
                found.setdefault(tag, []).append(run)
    return found


def run_state(run: RunRecord) -> CellState:
    """Where the cell of a run stands."""
    status = display_status(run)
    if status == "interrupted" and (run.exit_reason or "").startswith(GIVEN_UP):
        return CellState.GIVEN_UP
    if status in ("queued", "running"):
        return CellState.RUNNING
    if status == STALE:
        return CellState.STALE
    if status in (LOST, "interrupted"):
        return CellState.INTERRUPTED
    return CellState(status)


def _own_tags(run: RunRecord) -> set[str]:
    """Tags that the run was started with, whatever has become of its labels since."""
    return set(run.config.get("tags", ()))


def _standing(cell: Cell, runs: Iterable[RunRecord]) -> CellRun:
    held = [(run_state(run), run) for run in runs]
    if not held:
        return CellRun(cell, CellState.MISSING)
    order = [
        *(CellState.FINISHED, CellState.RUNNING, CellState.STALE),
        *(CellState.GIVEN_UP, CellState.INTERRUPTED, CellState.FAILED),
    ]
    state, run = min(held, key=lambda pair: (order.index(pair[0]), -pair[1].created))
    return CellRun(cell, state, run)
