"""The prompts behind recorded responses, rendered again as their run rendered them."""

from collections.abc import Mapping, Sequence

from core.config.load import build_config
from core.config.schema import RunConfig
from core.data.load import load_data
from core.errors import UserError
from core.prompts.template import PromptTemplate, load_prompt
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.registry.rollout_records import StoredRollout
from core.registry.store import Registry
from trainers.evaluated import asked_prompts


def evaluation_prompts(
    run: RunRecord, evaluation: EvaluationRecord, responses: Sequence[StoredResponse]
) -> Mapping[str, str]:
    """The prompts of an evaluation by problem id.

    Raises:
        UserError: the data is gone or has changed, or nobody wrote down what was asked.
    """
    if not evaluation.protocol.get("prompt_text"):
        raise UserError(
            f"the responses of run {run.id} were read from a file that does not say what prompts "
            "they answer, so they make no pairs; record them with a5ctl grade --prompt"
        )
    return asked_prompts(run, evaluation, responses, _config(run))


def rollout_prompts(
    registry: Registry, run: RunRecord, rollouts: Sequence[StoredRollout]
) -> Mapping[str, str]:
    """The prompts of a run's rollouts by problem id.

    Raises:
        UserError: the data is gone or has changed, or the template cannot be had.
    """
    config = _config(run)
    template = _template(registry, run, config)
    data = load_data(config.data.source)
    problems = {problem.id: problem for problem in data.split("train")}
    prompts = {}
    for response in {r.response.problem_id: r.response for r in rollouts}.values():
        problem = problems.get(response.problem_id)
        if problem is None or (problem.question, problem.truth) != (
            response.question,
            response.truth,
        ):
            raise UserError(
                f"data {data.name} has changed since run {run.id} sampled responses to it (first: "
                f"{response.problem_id}), so its prompts cannot be made again; restore the file"
            )
        prompts[problem.id] = template.prompt(problem)
    return prompts


def _config(run: RunRecord) -> RunConfig:
    return build_config(run.config, f"stored config of run {run.id}")


def _template(registry: Registry, run: RunRecord, config: RunConfig) -> PromptTemplate:
    """What the run asked with: an evaluation says its very text, chat template included."""
    for evaluation in registry.evaluations([run.uuid]):
        protocol = evaluation.protocol
        return PromptTemplate(protocol["prompt_name"], protocol["prompt_text"])
    if config.prompt.chat:
        raise UserError(
            f"run {run.id} asked inside its model's chat template, and no evaluation of it says "
            "how; let it be evaluated once"
        )
    if config.prompt.text is not None:
        return PromptTemplate(config.prompt.template, config.prompt.text)
    return load_prompt(config.prompt.template)
