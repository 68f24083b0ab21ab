"""What a plan will do before it does it: every cell prepared, foretold, and looked for."""

from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.plans.cell import executed_config
from core.config.load import to_tree
from core.config.schema import RunConfig
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.history import Forecast, History, runs_by_key, same_numbers_key
from core.plans.plan import Plan
from core.plans.runs import CellRun, CellState, cell_runs
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CheckedCell:
    """A cell that can run.

    Attributes:
        found: The cell, and its run where it has one.
        forecast: What it will take.
        memory: Bytes of training by the architecture; None where nothing is trained.
        twins: Runs outside the plan that made the same experiment.
    """

    found: CellRun
    forecast: Forecast
    memory: int | None
    twins: tuple[RunRecord, ...]


def check_cells(plan: Plan, workspace: Workspace, registry: Registry) -> list[CheckedCell]:
    """Prepare every cell as a run would be.

    Raises:
        UserError: a cell could not start; the sentence names it.
    """
    found = cell_runs(registry, plan)
    history = History(registry)
    own = {each.run.uuid for each in found.values() if each.run is not None}
    done = runs_by_key(run for run in history.runs if run.uuid not in own)
    return [_check(each, found, history, done, workspace, registry) for each in found.values()]


def seconds_to_go(checked: Sequence[CheckedCell], jobs: int) -> float | None:
    """Of all cells that are not done, so many at a time; None where one cannot be foretold."""
    known = [c.forecast.seconds for c in checked if not c.found.state.done]
    if None in known:
        return None
    return sum(seconds for seconds in known if seconds is not None) / jobs


def _check(
    each: CellRun,
    found: dict[str, CellRun],
    history: History,
    done: dict[str, list[RunRecord]],
    workspace: Workspace,
    registry: Registry,
) -> CheckedCell:
    from trainers.memory_forecast import forecast_memory
    from trainers.prepare import prepare

    cell = each.cell
    try:
        config, comparable = _config(cell, found)
        prepared = prepare(config, workspace, registry)
        memory = forecast_memory(prepared)
    except UserError as error:
        raise UserError(f"cell {cell.title!r}: {error}") from error
    resolved = prepared.config
    asked = len(prepared.evaluation) * resolved.evaluation.n
    size = len(prepared.pairs or prepared.train)
    return CheckedCell(
        each,
        history.forecast(resolved, prepared.base_model, size, asked),
        None if memory is None else memory.estimate.total,
        tuple(done.get(same_numbers_key(to_tree(resolved)), ())) if comparable else (),
    )


def _config(cell: Cell, found: dict[str, CellRun]) -> tuple[RunConfig, bool]:
    """The configuration, and whether it is the one that will run.

    A cell whose start is still to be made is prepared as if it began where that one begins.
    """
    start = None if cell.start is None else found[cell.start]
    if start is None or (start.state is CellState.FINISHED and start.run is not None):
        return executed_config(cell, None if start is None else start.run), True
    return cell.config.model_copy(update={"model": start.cell.config.model}), False
