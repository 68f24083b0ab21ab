"""What a rollout is worth: named parts, and their weighted sum."""

from collections.abc import Callable, Mapping, Sequence

from core.config.methods import GrpoSettings, RewardPart
from core.rollouts import Rollout

OVERLONG = "overlong"
"""Name of the part that is subtracted near the cap; it has no weight of its own."""


def reward_parts(
    rollouts: Sequence[Rollout], settings: GrpoSettings, max_tokens: int
) -> dict[str, list[float]]:
    """Every part of the reward that is in use, before its weight.

    Args:
        rollouts: What to reward.
        settings: Which parts count, and whether long responses lose.
        max_tokens: Cap on new tokens.

    Returns:
        One value per rollout by name. `answer`, `format` and `closed` are 0 or 1; `length` is the
        share of the cap in (0, 1]; `overlong`, where a buffer is set, is in [-1, 0].
    """
    parts: dict[str, list[float]] = {
        part.value: [_VALUES[part](rollout, max_tokens) for rollout in rollouts]
        for part in settings.reward
    }
    buffer = settings.overlong_buffer
    if buffer is not None:
        lengths = [len(rollout.response.token_ids) for rollout in rollouts]
        parts[OVERLONG] = [overlong_penalty(length, max_tokens, buffer) for length in lengths]
    return parts


def total_rewards(parts: Mapping[str, Sequence[float]], settings: GrpoSettings) -> list[float]:
    """The weighted sum of parts, one value per rollout; `overlong` counts as it is."""
    weights = {part.value: weight for part, weight in settings.reward.items()} | {OVERLONG: 1.0}
    names = list(parts)
    rows = zip(*(parts[name] for name in names), strict=True)
    return [
        sum(weights[name] * value for name, value in zip(names, row, strict=True)) for row in rows
    ]


def overlong_penalty(length: int, max_tokens: int, buffer: int) -> float:
    """Soft punishment of long responses (DAPO, Yu et al. 2025, equation 13).

    0 up to `max_tokens - buffer` tokens, from there falling linearly, -1 at the cap.
    """
    over = length - (max_tokens - buffer)
    return -min(1.0, max(0.0, over / buffer))


_VALUES: dict[RewardPart, Callable[[Rollout, int], float]] = {
    RewardPart.ANSWER: lambda rollout, _: float(rollout.right),
    RewardPart.FORMAT: lambda rollout, _: float(rollout.formatted),
    RewardPart.LENGTH: lambda rollout, cap: len(rollout.response.token_ids) / cap,
    RewardPart.CLOSED: lambda rollout, _: float(rollout.response.closed),
}
