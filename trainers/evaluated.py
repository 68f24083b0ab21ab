"""What a stored evaluation was made from: its weights and its prompts, found again and checked."""

from collections.abc import Sequence

from core.config.schema import RunConfig, RunKind
from core.data.load import load_data
from core.data.problem import Problem
from core.errors import UserError
from core.models import ModelSource, model_hash, resolve_model
from core.prompts.template import PromptTemplate
from core.provenance import data_hash
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.registry.run_queries import run_by_uuid
from core.registry.store import Registry
from core.workspace import CHECKPOINTS, Workspace
from trainers.checkpoint import checkpoint_step, checkpoints, find_checkpoint


def evaluated_weights(
    run: RunRecord,
    evaluation: EvaluationRecord,
    config: RunConfig,
    workspace: Workspace,
    registry: Registry,
) -> ModelSource:
    """The weights that wrote the responses: a checkpoint of the run, or what it started from.

    Raises:
        UserError: they are gone, damaged, or no longer the same.
    """
    if config.kind is not RunKind.EVAL and evaluation.step > 0:
        return _checkpoint(run, evaluation.step, workspace)
    source = _starting_weights(run, evaluation, config, workspace, registry)
    if run.model_hash is not None and model_hash(source.path) != run.model_hash:
        raise UserError(
            f"the weights of {source.name} have changed since run {run.id} evaluated them; restore "
            "them, or evaluate again with a5ctl run eval"
        )
    return source


def asked_prompts(
    run: RunRecord,
    evaluation: EvaluationRecord,
    responses: Sequence[StoredResponse],
    config: RunConfig,
) -> dict[str, str]:
    """The prompts by problem id, in the order asked.

    What is stored says them where the template made them; data that brings its own prompts is read
    again.

    Raises:
        UserError: the data is gone or has changed.
    """
    protocol = evaluation.protocol
    template = PromptTemplate(protocol["prompt_name"], protocol["prompt_text"])
    stored = {r.problem_id: Problem(r.problem_id, r.question, r.truth) for r in responses}
    problems = list(stored.values())
    if data_hash(problems) != protocol["data_hash"]:
        source = config.data.evaluation_source or config.data.source
        whole = config.kind is RunKind.EVAL and not config.data.held_out
        data = load_data(source, whole_file_is_test=whole)
        problems = list(data.split(evaluation.split)[: config.evaluation.limit])
        if data_hash(problems) != protocol["data_hash"]:
            raise UserError(
                f"data {data.name} has changed since run {run.id} was evaluated on it, so its "
                "prompts cannot be made again; restore the file, or evaluate again"
            )
    return {problem.id: template.prompt(problem) for problem in problems}


def _checkpoint(run: RunRecord, step: int, workspace: Workspace) -> ModelSource:
    folder = workspace.run_folder(run.id) / CHECKPOINTS
    kept = [checkpoint_step(path) for path in checkpoints(folder)]
    if step not in kept:
        left = f"those of step {', '.join(map(str, kept))} are kept" if kept else "none are kept"
        raise UserError(
            f"the weights of run {run.id} at step {step} are gone ({left}); probe an evaluation "
            "whose checkpoint is there, or keep more with --set train.keep_last=N"
        )
    return ModelSource(find_checkpoint(folder, step, run.id), f"run {run.id}")


def _starting_weights(
    run: RunRecord,
    evaluation: EvaluationRecord,
    config: RunConfig,
    workspace: Workspace,
    registry: Registry,
) -> ModelSource:
    if config.model.run is None:
        return resolve_model(config.model.source)
    parent = run_by_uuid(registry.database, run.parent_uuid or "")
    if parent is None:
        raise UserError(
            f"the weights that run {run.id} started from are gone with run {config.model.run}, "
            "which was deleted"
        )
    if config.kind is RunKind.EVAL:
        return _checkpoint(parent, evaluation.step, workspace)
    folder = workspace.run_folder(parent.id) / CHECKPOINTS
    path = find_checkpoint(folder, config.model.run_step, parent.id)
    return ModelSource(path, f"run {parent.id}")
