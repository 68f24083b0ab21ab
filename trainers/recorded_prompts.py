"""The prompts behind recorded responses, rendered again as their run rendered them."""

from collections.abc import Mapping, Sequence

from core.config.load import build_config
from core.errors import UserError
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
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
    config = build_config(run.config, f"stored config of run {run.id}")
    return asked_prompts(run, evaluation, responses, config)
