"""Made-up examples for trials at the start of a run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrialTokens:
    """An example as `trainers.packed.row` asks for it."""

    problem_id: str
    token_ids: tuple[int, ...]
    supervised: tuple[bool, ...]


def trial_tokens(length: int, start: int, vocabulary: int) -> TrialTokens:
    """Tokens that differ from example to example and from place to place, all supervised."""
    ids = tuple((start + 7 * place) % vocabulary for place in range(length))
    return TrialTokens("trial", ids, (True,) * length)
