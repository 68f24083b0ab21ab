"""One run from its registry row to its last status: create or reopen, carry out, settle."""

import logging
import sqlite3
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from core.config.load import build_config, config_hash, to_tree
from core.config.schema import RunKind
from core.data.pairs import pairs_hash
from core.engines.base import EngineError
from core.errors import UserError
from core.models import model_hash
from core.provenance import collect_provenance, data_hash
from core.registry.recorder import Recorder
from core.registry.store import NewRun, Registry, RunRecord
from core.secrets import mask_text
from core.workspace import ROLLOUTS, Workspace, claimed_folder
from trainers.checkpoint import checkpoint_step
from trainers.distributed.checks import processes, with_gpus
from trainers.distributed.launch import launch
from trainers.distributed.world import ALONE, ProcessLostError, World
from trainers.evaluator import build_evaluator
from trainers.interrupt import Interrupted, Interrupts, StepsDoneError
from trainers.introduction import report_parts
from trainers.observer import Observer, Severity
from trainers.pair_copy import keep_pairs, kept_pairs
from trainers.prepare import Prepared, prepare
from trainers.reaction import TrainingStoppedError
from trainers.rollouts import RolloutStore
from trainers.run_log import log_file
from trainers.stage import Stage, write_config
from trainers.train import train

_FORESEEN = (
    UserError,
    TrainingStoppedError,
    ProcessLostError,
    EngineError,
    OSError,
    sqlite3.Error,
)
# a batch system signals every process, and the launcher passes its own signal on as well
_ONCE_WITHIN_S = 0.5


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        run_id: Its short id.
        status: `finished`, `failed` or `interrupted`.
        exit_code: For the shell.
        message: Why it did not finish; empty when it did.
    """

    run_id: str
    status: str
    exit_code: int
    message: str = ""


@dataclass(frozen=True, slots=True)
class House:
    """Where runs live, and whom they report to.

    Attributes:
        argv: The command line, for the record.
        worker: Starts one of several processes, for runs that want them.
        provenance: What a new run's provenance says beside what is found out about this process.
        stop_after: End behind this update as if interrupted; only for runs of one process.
    """

    workspace: Workspace
    registry: Registry
    observer: Observer
    argv: Sequence[str]
    worker: Sequence[str] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    stop_after: int | None = None


def start(prepared: Prepared, house: House) -> RunOutcome:
    """Create the run in the registry and carry it out.

    Raises:
        UserError: the run cannot be created (registry or folder not writable).
    """
    with claimed_folder(house.workspace, prepared.config.kind.value, _size(prepared)) as claimed:
        run = house.registry.create_run(replace(_new_run(prepared, house), id=claimed))
    folder = house.workspace.run_folder(run.id)
    try:
        write_config(folder, prepared.config)
        if prepared.pairs:
            keep_pairs(folder, prepared.pairs)
    except OSError as error:
        house.registry.set_status(run.uuid, "failed", exit_reason=f"run folder: {error}")
        raise UserError(f"run folder {folder} cannot be written: {error}") from error
    return carry_out(run, prepared, house, resuming=False)


def resume(run: RunRecord, house: House, gpus: int | None = None) -> RunOutcome:
    """Go on with a run that was killed, stopped or failed, from its newest whole checkpoint.

    Args:
        run: The run.
        house: Where it lives.
        gpus: Train with another number of GPUs from here on.

    Raises:
        UserError: the run is finished or alive, or its data or model are no longer the same.
    """
    config = build_config(run.config, f"stored config of run {run.id}")
    config = with_gpus(config, gpus)
    folder = house.workspace.run_folder(run.id)
    prepared = prepare(config, house.workspace, house.registry, kept_pairs(folder, run.data_hash))
    _check_unchanged(run, prepared)
    return carry_out(run, prepared, house, resuming=True)


def _new_run(prepared: Prepared, house: House) -> NewRun:
    config = prepared.config
    return NewRun(
        kind=config.kind.value,
        name=config.name,
        group=config.group,
        parent_uuid=prepared.parent.uuid if prepared.parent else None,
        config=to_tree(config),
        config_hash=config_hash(config),
        seed=config.seed,
        model=prepared.base_model,
        model_hash=model_hash(prepared.model_dir),
        data=prepared.data_name,
        data_hash=learned_hash(prepared),
        size=_size(prepared),
        provenance={**collect_provenance(house.argv).to_json(), **house.provenance},
        tags=config.tags,
        note=config.note,
    )


def _size(prepared: Prepared) -> int:
    """Problems a run learns from; those it asks where it only evaluates."""
    return len(prepared.train or prepared.pairs or prepared.evaluation)


def learned_hash(prepared: Prepared) -> str:
    """Hash of what a run learns from; of what it asks where it only evaluates."""
    if prepared.pairs:
        return pairs_hash(prepared.pairs)
    if prepared.train:
        return data_hash(prepared.train, solutions=True)
    return data_hash(prepared.evaluation)


def _check_unchanged(run: RunRecord, prepared: Prepared) -> None:
    if learned_hash(prepared) != run.data_hash:
        raise UserError(
            f"the data of run {run.id} has changed since it started, so it cannot go on exactly; "
            "restore the file, or start a new run"
        )
    if model_hash(prepared.model_dir) != run.model_hash:
        raise UserError(
            f"the model that run {run.id} started from has changed, so it cannot go on exactly; "
            "restore it, or start a new run"
        )


def carry_out(
    run: RunRecord, prepared: Prepared, house: House, *, resuming: bool, world: World = ALONE
) -> RunOutcome:
    """Record the run to its end; a stop that comes before or after that settles it too.

    Args:
        run: The registry's row.
        prepared: What it works with.
        house: Where it lives.
        resuming: It was started before.
        world: The processes that train together, of which this is the main one; where the run
            wants more than there are, they are started.

    Raises:
        UserError: another process records the run.
    """
    try:
        if processes(prepared.config) > world.size:
            return _launch(run, prepared, house, resuming=resuming)
        return _record(run, prepared, house, resuming=resuming, world=world)
    except KeyboardInterrupt as stop:
        reason = str(stop) or "SIGINT"
        house.registry.set_status(run.uuid, "interrupted", exit_reason=reason)
        message = f"stopped by {reason}; {_go_on(run)}"
        return RunOutcome(run.id, "interrupted", getattr(stop, "exit_code", 130), message)


def _launch(run: RunRecord, prepared: Prepared, house: House, *, resuming: bool) -> RunOutcome:
    """Let several processes carry the run out, and settle it where they could not."""
    folder = house.workspace.run_folder(run.id)
    ending = launch(run, prepared, house, resuming=resuming)
    if "refused" in ending.report:
        raise UserError(ending.report["refused"])
    if "status" in ending.report:
        return RunOutcome(**ending.report)
    if ending.stopped is not None:
        raise Interrupted(ending.stopped)
    with Recorder(house.registry, run.uuid, folder) as recorder:
        recorder.event(Severity.ERROR, "process_lost", ending.problem)
        recorder.finish("failed", ending.problem, traceback=ending.report.get("trace"))
    return RunOutcome(run.id, "failed", 1, f"{ending.problem}; {_go_on(run)}")


def _record(
    run: RunRecord, prepared: Prepared, house: House, *, resuming: bool, world: World
) -> RunOutcome:
    folder = house.workspace.run_folder(run.id)
    house.observer.started(run.id, prepared.config)
    with (
        Interrupts(_ONCE_WITHIN_S if world.size > 1 else 0.0).installed() as interrupts,
        log_file(folder),
        Recorder(house.registry, run.uuid, folder) as recorder,
    ):
        stage = Stage(
            run,
            prepared.config,
            prepared,
            folder,
            house.registry,
            recorder,
            house.observer,
            interrupts,
            resuming,
            world,
            house.stop_after,
        )
        try:
            report_parts(stage)
            with world.explained():
                _evaluate_only(stage) if prepared.config.kind is RunKind.EVAL else train(stage)
            recorder.finish("finished", "completed")
            outcome = RunOutcome(run.id, "finished", 0)
        except BaseException as error:
            outcome = _settle(stage, error)
        if recorder.problem is not None:
            house.observer.event(Severity.WARNING, recorder.problem, None)
    if recorder.unsaved and outcome.status == "finished":
        message = (
            f"its results could not be stored: {recorder.problem}; mend that, then {_go_on(run)}"
        )
        return RunOutcome(run.id, "failed", 2, message)
    if outcome.status == "finished":
        with suppress(OSError):  # what stays takes room, and nothing else
            RolloutStore(folder / ROLLOUTS).clear()
    return outcome


def _evaluate_only(stage: Stage) -> None:
    evaluator = build_evaluator(stage, live=False)
    try:
        evaluator.evaluate(max(0, checkpoint_step(stage.prepared.model_dir)))
    finally:
        evaluator.close()


def _settle(stage: Stage, error: BaseException) -> RunOutcome:
    """Mark the run by what ended it; only what nobody foresaw carries a traceback."""
    run = stage.run
    trace = mask_text("".join(traceback.format_exception(error)))
    logging.getLogger("a5ctl").error("run %s ended: %s", run.id, trace)
    if isinstance(error, Interrupted):
        stage.recorder.finish("interrupted", str(error))
        message = f"stopped by {error}; {_go_on(run)}"
        return RunOutcome(run.id, "interrupted", error.exit_code, message)
    if isinstance(error, StepsDoneError):
        stage.recorder.finish("interrupted", str(error))
        return RunOutcome(run.id, "interrupted", 0, f"{error}; {_go_on(run)}")
    reason = mask_text(str(error).strip()) or type(error).__name__
    foreseen = isinstance(error, _FORESEEN)
    stage.recorder.finish("failed", reason, traceback=trace)
    if not isinstance(error, Exception):
        raise error
    if isinstance(error, OSError):
        reason = f"{reason}; {_afterwards(run)}"
    if isinstance(error, ProcessLostError):
        reason = f"{reason}; {_go_on(run)}"
    if foreseen:
        code = 2 if isinstance(error, UserError | OSError) else 1
        return RunOutcome(run.id, "failed", code, reason)
    return RunOutcome(run.id, "failed", 1, f"{type(error).__name__}: {reason} (see log.txt)")


def _afterwards(run: RunRecord) -> str:
    return f"free some space, then {_go_on(run)}"


def _go_on(run: RunRecord) -> str:
    return f"go on with: a5ctl resume {run.id}"
