"""Carries out exactly one cell of a plan here: begins it, goes on with it, or leaves it alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config.schema import RunConfig
from core.errors import UserError
from core.plans.cells import Cell
from core.plans.codes import CellExit
from core.plans.folder import plan_folder
from core.plans.plan import Plan
from core.plans.runs import CellRun, CellState, cell_runs
from core.registry.live_runs import is_recorded
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.workspace import Workspace

if TYPE_CHECKING:
    from trainers.execute import RunOutcome

THREADS = 1
"""CPU threads of a cell whose plan does not say: sums over another number round differently."""
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Attempt:
    """How a cell is to be carried out.

    Attributes:
        until: End behind this update, or the next one, if it is not the last; the cell goes on
            from there another time.
        take_over: Take a cell whose run, on another machine, has been silent for over a minute.
        quiet: Show nothing while it works.
        as_json: Standard output is kept for JSON.
    """

    until: int | None = None
    take_over: bool = False
    quiet: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class CellEnd:
    """What became of an attempt.

    Attributes:
        run: Short id of the cell's run; None where there is none.
        message: One sentence for people.
    """

    cell: Cell
    code: int
    message: str
    run: str | None = None


def carry_out_cell(
    plan: Plan, cell: Cell, workspace: Workspace, registry: Registry, attempt: Attempt
) -> CellEnd:
    """Carry the cell out, unless it is done or somebody else has it.

    Two processes that share the workspace never work at one cell: the lock decides, then the
    registry is read.

    Raises:
        UserError: the cell cannot be run.
    """
    try:
        with plan_folder(workspace, plan.name).lock(cell.id):
            return _carry_out(plan, cell, workspace, registry, attempt)
    except TimeoutError:
        return CellEnd(cell, CellExit.HELD, f"cell {cell.id} is being carried out by a process")


def _carry_out(
    plan: Plan, cell: Cell, workspace: Workspace, registry: Registry, attempt: Attempt
) -> CellEnd:
    found = cell_runs(registry, plan, [cell])[cell.id]
    if (end := _left_alone(found, workspace, registry, attempt)) is not None:
        return end
    start = None
    if cell.start is not None:
        before = cell_runs(registry, plan, [plan.by_id[cell.start]])[cell.start]
        if before.state is not CellState.FINISHED:
            text = f"cell {cell.id} starts from cell {cell.start}, which is {before.state}"
            return CellEnd(cell, CellExit.NO_START, text)
        start = before.run
    with _pinned_threads(cell.config):
        outcome = _work(found, start, workspace, registry, attempt)
    message = outcome.message or f"cell {cell.id} is finished: run {outcome.run_id}"
    return CellEnd(cell, outcome.exit_code, message, outcome.run_id)


def _left_alone(
    found: CellRun, workspace: Workspace, registry: Registry, attempt: Attempt
) -> CellEnd | None:
    """Why nothing is to be done; None where there is something."""
    cell, run, state = found.cell, found.run, found.state
    if run is None:
        return None
    if state.done:
        text = f"cell {cell.id} is {state}: run {run.id}"
        return CellEnd(cell, CellExit.FINISHED, text, run.id)
    if attempt.until is not None and _reached(registry, run, attempt.until):
        text = f"cell {cell.id} has reached step {attempt.until}: run {run.id}"
        return CellEnd(cell, CellExit.FINISHED, text, run.id)
    silent = state is CellState.STALE
    if is_recorded(workspace.run_folder(run.id)) or (
        state.held and not (silent and attempt.take_over)
    ):
        where = f"process {run.pid} on {run.host}"
        more = "; take it over with --take-over if that one is gone" if silent else ""
        text = f"cell {cell.id} is {state}: run {run.id}, {where}{more}"
        return CellEnd(cell, CellExit.HELD, text, run.id)
    return None


def _reached(registry: Registry, run: RunRecord, until: int) -> bool:
    """The run was evaluated there, which is the last thing it does before it ends there."""
    return any(found.step == until for found in registry.evaluations([run.uuid]))


def _work(
    found: CellRun,
    start: RunRecord | None,
    workspace: Workspace,
    registry: Registry,
    attempt: Attempt,
) -> "RunOutcome":
    from a5ctl.process import prepare_process

    prepare_process()
    from a5ctl.launch import carry_out_one

    return carry_out_one(
        found.run or executed_config(found.cell, start),
        workspace,
        registry,
        stop_after=attempt.until,
        quiet=attempt.quiet,
        as_json=attempt.as_json,
    )


def executed_config(cell: Cell, start: RunRecord | None = None) -> RunConfig:
    """The configuration that a cell is run with: weights by run, and threads pinned on CPU.

    Args:
        cell: The cell.
        start: The run of the cell that it starts from.

    Raises:
        UserError: it needs a run to start from, and none was given.
    """
    config = cell.config
    if cell.start is not None:
        if start is None:
            raise UserError(f"cell {cell.id} starts from cell {cell.start}, which has no run yet")
        settings = {"run": start.id, "run_choice": "best" if cell.checkpoint == "best" else None}
        config = config.model_copy(update={"model": config.model.model_copy(update=settings)})
    if config.kind.trains and config.train.threads is None and on_cpu(config):
        train = config.train.model_copy(update={"threads": THREADS})
        config = config.model_copy(update={"train": train})
    return config


def on_cpu(config: RunConfig) -> bool:
    """Whether a run will train on the CPU, as far as can be told without torch."""
    from core.engines.devices import gpu_uuids

    if config.model.device != "auto":
        return config.model.device == "cpu"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return (visible is not None and not visible.strip(" -1")) or not gpu_uuids()


@contextmanager
def _pinned_threads(config: RunConfig) -> Iterator[None]:
    """Libraries take their number of threads from here, evaluation engines among them.

    The numbers of a cell are then the same whoever starts it, and beside however many others.
    """
    if not on_cpu(config):
        yield
        return
    wanted = str(config.train.threads or THREADS)
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, wanted))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
