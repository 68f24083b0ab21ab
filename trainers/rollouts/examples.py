"""A rollout as something to learn from."""

from core.rollouts import Rollout
from trainers.tokenization import Example


def example_of(rollout: Rollout) -> Example:
    """Prompt and response in the engine's own tokens, all of the response supervised.

    Texts are never tokenized again: the same text can have other tokens than those sampled.
    """
    prompt, response = rollout.prompt_ids, tuple(rollout.response.token_ids)
    token_ids = (*prompt, *response)
    return Example(
        problem_id=rollout.response.problem_id,
        token_ids=token_ids,
        supervised=(*(False for _ in prompt), *(True for _ in response)),
        prompt_length=len(prompt),
        full_length=len(token_ids),
    )
