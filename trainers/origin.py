"""Which weights a run starts from: a model, or a checkpoint of another run and who chose it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.schema import ModelSettings
from core.errors import UserError
from core.models import resolve_model
from core.protocol import compare_protocols
from core.registry.records import EvaluationRecord
from core.registry.store import Registry, RunRecord
from core.workspace import CHECKPOINTS, Workspace
from trainers.checkpoint import checkpoint_step, checkpoints, damage, find_checkpoint


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run begins.

    Attributes:
        path: Folder of the weights.
        base_model: Source of the model at the root of the lineage.
        settings: What was asked for, with the step that it meant filled in.
        told: Which checkpoint it is and why this one; None for a model.
    """

    path: Path
    base_model: str
    settings: ModelSettings
    told: str | None = None

    @property
    def selected_on_test(self) -> bool:
        """Accuracies on a test split chose these weights, or some that they descend from."""
        return any(split.startswith("test") for split in self.settings.selected_on or ())


def find_origin(
    settings: ModelSettings, parent: RunRecord | None, workspace: Workspace, registry: Registry
) -> Origin:
    """Resolve what a run starts from.

    Args:
        settings: What was asked for.
        parent: The run that they name.
        workspace: Where its checkpoints are.
        registry: Where its evaluations are.

    Raises:
        UserError: the model cannot be had, or the run has no such checkpoint.
    """
    if parent is None:
        source = resolve_model(settings.source)
        return Origin(source.path, source.name, settings)
    _refuse_evaluations(parent)
    folder = workspace.run_folder(parent.id) / CHECKPOINTS
    inherited = parent.config.get("model", {}).get("selected_on") or ()
    splits = (*inherited, *(settings.selected_on or ()))
    if settings.run_step is None and settings.run_choice == "best":
        path, best, others = _best(folder, parent, registry)
        splits = (*splits, best.split)
        why = f": {_figures(best)} on {best.split}, the best of the checkpoints kept"
        why += f" ({', '.join(map(_figures, others))})" if others else ""
    else:
        path = find_checkpoint(folder, settings.run_step, parent.id)
        why = ", its last checkpoint" if settings.run_step is None else ""
    step = checkpoint_step(path)
    chosen = {"run_step": step, "selected_on": tuple(dict.fromkeys(splits)) or None}
    return Origin(
        path,
        parent.model,
        settings.model_copy(update=chosen),
        f"starts from step {step} of run {parent.id}{why}",
    )


def _refuse_evaluations(parent: RunRecord) -> None:
    if parent.kind != "eval":
        return
    evaluated = parent.config.get("model", {}).get("run")
    instead = f"; it evaluated run {evaluated}, start from that one" if evaluated else ""
    raise UserError(f"run {parent.id} only evaluates, so it has no weights of its own{instead}")


def _best(
    folder: Path, parent: RunRecord, registry: Registry
) -> tuple[Path, EvaluationRecord, list[EvaluationRecord]]:
    """The best whole checkpoint, its evaluation, and those of the other evaluated checkpoints.

    Raises:
        UserError: no whole checkpoint was evaluated.
    """
    kept = {checkpoint_step(path): path for path in checkpoints(folder)}
    comparable = _comparable(registry.evaluations([parent.uuid]))
    known = {found.step: found for found in comparable if found.step in kept}
    for best in sorted(known.values(), key=lambda found: (found.accuracy, found.step))[::-1]:
        if damage(kept[best.step]) is None:
            return kept[best.step], best, [found for found in known.values() if found is not best]
    raise UserError(_nothing_evaluated(parent.id, sorted(kept), known))


def _comparable(evaluations: Sequence[EvaluationRecord]) -> list[EvaluationRecord]:
    """Those that asked what the newest one asked: accuracies of other protocols rank nothing."""
    if not evaluations:
        return []
    newest = max(evaluations, key=lambda found: (found.step, found.time))
    return [
        found
        for found in evaluations
        if not compare_protocols(newest.protocol, found.protocol).blocking
    ]


def _nothing_evaluated(run: str, kept: Sequence[int], known: dict[int, EvaluationRecord]) -> str:
    if not kept:
        return f"run {run} has no checkpoint; run it (again) to the first one"
    if known:
        return f"every evaluated checkpoint of run {run} is damaged; start from {run}:STEP"
    return (
        f"none of the checkpoints that run {run} keeps (step {', '.join(map(str, kept))}) was "
        f"evaluated, so none is known to be the best; start from {run}:last or {run}:STEP"
    )


def _figures(evaluation: EvaluationRecord) -> str:
    return f"step {evaluation.step} {100 * evaluation.accuracy:.1f}%"
