"""Two runs that should be one: metrics, evaluations, rollouts and weights compared."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.protocol import compare_protocols
from core.registry.live_runs import may_be_alive
from core.registry.records import EvaluationRecord, RunRecord, RunStatus, StoredResponse
from core.registry.store import Registry
from core.reproduction.answers import AnswersComparison, compare_answers, keyed
from core.reproduction.curves import MetricComparison, compare_curves, is_measured, last_step
from core.reproduction.weights import WeightsComparison, compare_weights
from core.workspace import CHECKPOINTS, Workspace

_STEP = "step-"


@dataclass(frozen=True, slots=True)
class RunsComparison:
    """How alike two runs are.

    Attributes:
        recorded: The run that was made first.
        again: The run that should be the same.
        steps: Updates that both have made and that were compared.
        of: Updates that the first one has recorded.
        metrics: Every metric that no clock and no memory meter has a part in.
        not_compared: Names of the others.
        answers: Evaluations, then rollouts, in order of steps.
        weights: Of the last checkpoint that both have; None where there is none.
        notes: What could not be compared, and why.
    """

    recorded: RunRecord
    again: RunRecord
    steps: int
    of: int
    metrics: tuple[MetricComparison, ...]
    not_compared: tuple[str, ...]
    answers: tuple[AnswersComparison, ...]
    weights: WeightsComparison | None
    notes: tuple[str, ...]

    @property
    def anything(self) -> bool:
        """There was something to compare."""
        return bool(self.metrics or self.answers or self.weights)

    @property
    def same(self) -> bool:
        """There was something to compare, and all of it is bitwise the same."""
        values = all(metric.same for metric in self.metrics)
        answers = all(part.same for part in self.answers)
        return self.anything and values and answers and (not self.weights or self.weights.same)


def refuse_alive(run: RunRecord, workspace: Workspace) -> None:
    """Refuse a run that may still go on.

    Raises:
        UserError: it may.
    """
    if may_be_alive(run, workspace.run_folder(run.id)):
        raise UserError(
            f"run {run.id} may still be going on (process {run.pid} on {run.host}); wait for its "
            f"end, or settle it with a5ctl close {run.id} if its process is gone"
        )


def compare_runs(
    registry: Registry, workspace: Workspace, recorded: RunRecord, again: RunRecord
) -> RunsComparison:
    """Compare everything up to the last step that both have made."""
    curves = [registry.metrics(run.uuid) for run in (recorded, again)]
    evaluations = [_by_step(registry.evaluations([run.uuid])) for run in (recorded, again)]
    ends = [
        max([last_step(curve), *(step for step, _ in found)])
        for curve, found in zip(curves, evaluations, strict=True)
    ]
    steps = min(ends)
    notes: list[str] = []
    answers = _evaluations(registry, (recorded, again), evaluations, steps, notes)
    answers += _rollouts(registry, (recorded, again), steps, notes)
    return RunsComparison(
        recorded,
        again,
        steps=steps,
        of=ends[0],
        metrics=tuple(compare_curves(curves[0], curves[1], steps)),
        not_compared=tuple(sorted(name for name in {*curves[0], *curves[1]} if is_measured(name))),
        answers=tuple(answers),
        weights=_weights(workspace, (recorded, again), steps, notes),
        notes=tuple(notes),
    )


def _by_step(found: list[EvaluationRecord]) -> dict[tuple[int, str], EvaluationRecord]:
    """The newest evaluation of every step and split."""
    return {(e.step, e.split): e for e in sorted(found, key=lambda e: e.time)}


def _evaluations(
    registry: Registry,
    runs: tuple[RunRecord, RunRecord],
    found: list[dict[tuple[int, str], EvaluationRecord]],
    steps: int,
    notes: list[str],
) -> list[AnswersComparison]:
    """A run that was stopped may have stopped before its last evaluation: that is no difference."""
    compared = []
    for step, split in sorted({*found[0], *found[1]}):
        if step > steps:
            continue
        pair = [records.get((step, split)) for records in found]
        lacking = next((run for run, record in zip(runs, pair, strict=True) if not record), None)
        if lacking is not None and lacking.status is not RunStatus.FINISHED and step == steps:
            notes.append(f"{lacking.id} ended before its evaluation at step {step} ({split})")
            continue
        old, new = pair
        before, after = (keyed(registry.responses(e.uuid)) if e else {} for e in pair)
        unlike = compare_protocols(old.protocol, new.protocol) if old and new else None
        fields = (*unlike.blocking, *unlike.warning) if unlike else ()
        compared.append(compare_answers("evaluation", step, split, before, after, fields))
    return compared


def _rollouts(
    registry: Registry, runs: tuple[RunRecord, RunRecord], steps: int, notes: list[str]
) -> list[AnswersComparison]:
    """By the update that first learned from them; a batch behind the last step is left out."""
    found = [_kept_rollouts(registry, run, steps) for run in runs]
    if not all(found):
        for run, kept in zip(runs, found, strict=True):
            if not kept and any(found):
                notes.append(f"{run.id} has kept no rollouts")
        return []
    return [
        compare_answers(
            "rollouts",
            step,
            None,
            keyed(found[0].get(step, [])),
            keyed(found[1].get(step, [])),
        )
        for step in sorted({*found[0], *found[1]})
    ]


def _kept_rollouts(
    registry: Registry, run: RunRecord, steps: int
) -> dict[int, list[StoredResponse]]:
    kept: dict[int, list[StoredResponse]] = defaultdict(list)
    for rollout in registry.rollouts(run.uuid):
        if rollout.step <= steps:
            kept[rollout.step].append(rollout.response)
    return kept


def _weights(
    workspace: Workspace, runs: tuple[RunRecord, RunRecord], steps: int, notes: list[str]
) -> WeightsComparison | None:
    kept = [_checkpoints(workspace.run_folder(run.id) / CHECKPOINTS) for run in runs]
    common = [step for step in kept[0].keys() & kept[1].keys() if step <= steps]
    if not common:
        if any(run.kind != "eval" for run in runs):
            notes.append("no step has a checkpoint of both runs, so weights are not compared")
        return None
    step = max(common)
    try:
        return compare_weights(kept[0][step], kept[1][step], step)
    except (OSError, ValueError, KeyError) as error:
        notes.append(f"the weights of step {step} cannot be read: {error}")
        return None


def _checkpoints(folder: Path) -> dict[int, Path]:
    found = folder.glob(f"{_STEP}*") if folder.is_dir() else ()
    named = ((path.name.removeprefix(_STEP), path) for path in found)
    return {int(step): path for step, path in named if step.isdecimal()}
