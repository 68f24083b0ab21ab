"""From rewards to advantages: how much better than its group a response was."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from core.batches import batched
from core.config.methods import GrpoSettings, LossType

RewardFunction = Callable[[str, str], Mapping[str, float]]


def group_advantages(
    rewards: Sequence[float], group_size: int, epsilon: float, normalize_by_std: bool
) -> list[float]:
    """Rewards relative to the mean of their group.

    A_i = r_i - mean(r), or (r_i - mean(r)) / (std(r) + epsilon) with the unbiased standard
    deviation (DeepSeekMath, section 4.1; without it: Dr. GRPO). A group of equal rewards, one of a
    single response too, has advantages of exactly 0, whatever rounding its mean suffers: what has
    nothing to teach can be told by `== 0`.

    Args:
        rewards: One group after the other.
        group_size: Responses to one question.
        epsilon: Added to the standard deviation.
        normalize_by_std: Whether to divide at all.

    Raises:
        ValueError: the rewards are not whole groups.
    """
    if group_size < 1 or len(rewards) % group_size:
        raise ValueError(f"{len(rewards)} rewards are not whole groups of {group_size}")
    advantages: list[float] = []
    for group in batched(rewards, group_size):
        advantages += _of_group(group, epsilon if normalize_by_std else None)
    return advantages


def _of_group(group: Sequence[float], epsilon: float | None) -> list[float]:
    if min(group) == max(group):
        return [0.0] * len(group)
    mean = math.fsum(group) / len(group)
    deviations = [reward - mean for reward in group]
    if epsilon is None:
        return deviations
    scale = _unbiased_std(group) + epsilon
    return [deviation / scale for deviation in deviations]


def learning_signal(
    rewards: Sequence[float], group_size: int, settings: GrpoSettings
) -> tuple[list[float], list[float]]:
    """What training follows: how each response compares, and the factor of its log-probabilities.

    Args:
        rewards: One group after the other.
        group_size: Responses to one question.
        settings: Which loss, and how its advantages are made.

    Returns:
        Advantages, for the record, and factors A of the loss; both of the length of the rewards.
        The two differ for `no_baseline`, whose factors are the rewards themselves.

    Raises:
        ValueError: the rewards are not whole groups.
    """
    advantages = group_advantages(
        rewards, group_size, settings.advantage_epsilon, settings.std_normalization
    )
    if settings.loss is LossType.NO_BASELINE:
        return advantages, list(rewards)
    return advantages, advantages


def compute_group_normalized_rewards(
    reward_fn: RewardFunction,
    rollout_responses: Sequence[str],
    repeated_ground_truths: Sequence[str],
    group_size: int,
    advantage_eps: float,
    normalize_by_std: bool,
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Score responses and compare each with its group, as `group_advantages` says.

    Args:
        reward_fn: Called as `reward_fn(response, ground_truth)`; its result holds `reward`.
        rollout_responses: One group after the other.
        repeated_ground_truths: The truth of every response.
        group_size: Responses to one question.
        advantage_eps: Added to the standard deviation.
        normalize_by_std: Whether to divide by it at all.

    Returns:
        Advantages (N,) and raw rewards (N,), float32, and statistics: mean, std, min and max of the
        reward, the mean of everything else that `reward_fn` gives, the share of zero advantages.

    Raises:
        ValueError: responses and truths differ in number, or are not whole groups.
    """
    scores = [
        reward_fn(response, truth)
        for response, truth in zip(rollout_responses, repeated_ground_truths, strict=True)
    ]
    rewards = [float(score["reward"]) for score in scores]
    advantages = group_advantages(rewards, group_size, advantage_eps, normalize_by_std)
    statistics = _statistics(scores, rewards, advantages) if scores else {}
    return torch.tensor(advantages), torch.tensor(rewards), statistics


def zero_advantage_is_idle(loss_type: LossType, kl: float) -> bool:
    """Whether a response with advantage 0 adds nothing to the gradient, so that it can be left out.

    Not where the loss takes raw rewards, nor where a KL term pulls at every response.
    """
    return kl == 0 and loss_type is not LossType.NO_BASELINE


def _statistics(
    scores: Sequence[Mapping[str, float]], rewards: Sequence[float], advantages: Sequence[float]
) -> dict[str, float]:
    means = {
        f"{name}_mean": math.fsum(score[name] for score in scores) / len(scores)
        for name in scores[0]
    }
    return means | {
        "reward_std": _unbiased_std(rewards),
        "reward_min": min(rewards),
        "reward_max": max(rewards),
        "zero_advantage_share": advantages.count(0.0) / len(advantages),
    }


def _unbiased_std(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
