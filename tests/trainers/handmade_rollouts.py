"""Rollouts made by hand: texts in, graded rollouts out."""

from collections.abc import Sequence

from core.responses.names import GraderName
from core.rollouts import Rollout
from tests.a5ctl.handmade import Answer, evaluation


def rollouts(
    answers: Sequence[Answer],
    *,
    samples: int = 2,
    grader: GraderName = GraderName.STRICT,
    logprobs: Sequence[float] | None = None,
) -> list[Rollout]:
    """Problem number i has the truth 10 + i and `samples` answers in a row; tokens are words.

    `logprobs` has the log-probability of every token of each response.
    """
    responses = evaluation(answers, samples=samples).responses
    return [
        Rollout(
            response,
            prompt_ids=(1, 2),
            engine_logprobs=(logprobs[i] if logprobs else -1.0,) * len(response.token_ids),
            grader=grader,
        )
        for i, response in enumerate(responses)
    ]
