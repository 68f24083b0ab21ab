"""Policy gradients per token of a padded batch, under the names of the CS336 exercise.

Training takes `PolicyGradientLoss` instead, which needs no padding; both come from the same terms.
"""

from typing import Any

import torch
from torch import Tensor

from core.config.methods import LossType
from trainers.objectives.pieces import masked_mean, masked_normalize

_NEEDS = {
    LossType.NO_BASELINE: ("raw_rewards",),
    LossType.REINFORCE_WITH_BASELINE: ("advantages",),
    LossType.GRPO_NO_CLIP: ("advantages", "old_log_probs"),
    LossType.GRPO_CLIP: ("advantages", "old_log_probs", "cliprange"),
}


def clipped_ratio(
    log_ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """The probability ratio that the clipped objective multiplies with the advantage.

    min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) = A * this (PPO, equation 7; with two ranges:
    DAPO, equation 10). Where the clipped branch is the smaller one the gradient is exactly 0, also
    where the ratio itself overflows.

    Args:
        log_ratio: log p - log p_old, nats.
        advantages: Same shape, or one that broadcasts to it.
        clip_low: Lower range.
        clip_high: Upper range.

    Returns:
        The ratio, and whether the clipped branch is the smaller one; shape of `log_ratio`.
    """
    ratio = log_ratio.detach().exp()
    bounded = ratio.clamp(1.0 - clip_low, 1.0 + clip_high)
    clipped = bounded * advantages < ratio * advantages
    # an infinite ratio in the branch that is not taken, or times 0, would make its gradient NaN
    idle = clipped | (advantages == 0)
    return torch.where(clipped, bounded, log_ratio.masked_fill(idle, 0.0).exp()), clipped


def compute_naive_policy_gradient_loss(
    raw_rewards_or_advantages: Tensor, policy_log_probs: Tensor
) -> Tensor:
    """REINFORCE per token: -A log p.

    Args:
        raw_rewards_or_advantages: Shape (B, 1).
        policy_log_probs: Shape (B, T), nats.

    Returns:
        Shape (B, T).
    """
    return -raw_rewards_or_advantages * policy_log_probs


def compute_grpo_clip_loss(
    advantages: Tensor,
    policy_log_probs: Tensor,
    old_log_probs: Tensor,
    cliprange: float,
    *,
    cliprange_high: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped objective per token: -min(r A, clip(r, 1 - low, 1 + high) A), r = p / p_old.

    Args:
        advantages: Shape (B, 1).
        policy_log_probs: Shape (B, T), nats.
        old_log_probs: Shape (B, T), nats, of the policy that sampled.
        cliprange: Range on both sides, or the lower one.
        cliprange_high: Upper range where it differs.

    Returns:
        Shape (B, T); and `clipped`, bool of the same shape: where the clipped branch is the smaller
        one, so that the token has no gradient.
    """
    high = cliprange if cliprange_high is None else cliprange_high
    log_ratio = policy_log_probs - old_log_probs
    ratio, clipped = clipped_ratio(log_ratio, advantages, cliprange, high)
    return -ratio * advantages, {"clipped": clipped}


def compute_grpo_no_clip_loss(
    advantages: Tensor, policy_log_probs: Tensor, old_log_probs: Tensor
) -> Tensor:
    """The objective without clipping, per token: -r A with r = p / p_old.

    Args:
        advantages: Shape (B, 1).
        policy_log_probs: Shape (B, T), nats.
        old_log_probs: Shape (B, T), nats, of the policy that sampled.

    Returns:
        Shape (B, T).
    """
    return -advantages * (policy_log_probs - old_log_probs).exp()


def compute_policy_gradient_loss(
    policy_log_probs: Tensor,
    loss_type: LossType | str,
    raw_rewards: Tensor | None = None,
    advantages: Tensor | None = None,
    old_log_probs: Tensor | None = None,
    cliprange: float | None = None,
    *,
    cliprange_high: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One of the four losses per token.

    Args:
        policy_log_probs: Shape (B, T), nats.
        loss_type: no_baseline, reinforce_with_baseline, grpo_clip or grpo_no_clip.
        raw_rewards: Shape (B, 1), for no_baseline.
        advantages: Shape (B, 1), for all others.
        old_log_probs: Shape (B, T), nats, for the last two.
        cliprange: For grpo_clip: the range on both sides, or the lower one.
        cliprange_high: The upper range where it differs.

    Returns:
        Shape (B, T), and what `compute_grpo_clip_loss` says of clipping; empty for the others.

    Raises:
        ValueError: there is no such loss, or what it needs was not given.
    """
    kind = _loss_type(loss_type)
    given: dict[str, Any] = {
        "raw_rewards": raw_rewards,
        "advantages": advantages,
        "old_log_probs": old_log_probs,
        "cliprange": cliprange,
    }
    missing = [name for name in _NEEDS[kind] if given[name] is None]
    if missing:
        raise ValueError(f"the loss {kind.value} needs {' and '.join(missing)}")
    needed = {name: given[name] for name in _NEEDS[kind]}
    if kind is LossType.GRPO_CLIP:
        return compute_grpo_clip_loss(
            policy_log_probs=policy_log_probs, **needed, cliprange_high=cliprange_high
        )
    if kind is LossType.GRPO_NO_CLIP:
        return compute_grpo_no_clip_loss(policy_log_probs=policy_log_probs, **needed), {}
    (factor,) = needed.values()
    return compute_naive_policy_gradient_loss(factor, policy_log_probs), {}


def grpo_microbatch_train_step(
    policy_log_probs: Tensor,
    response_mask: Tensor,
    gradient_accumulation_steps: int,
    loss_type: LossType | str,
    raw_rewards: Tensor | None = None,
    advantages: Tensor | None = None,
    old_log_probs: Tensor | None = None,
    cliprange: float | None = None,
    *,
    cliprange_high: float | None = None,
    normalize_constant: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """One micro-batch of a policy gradient: averaged over tokens, then over responses; backward.

    loss = mean_b( masked_mean_t(loss_bt) ) / gradient_accumulation_steps; with a constant the sum
    over the tokens of a response is divided by it instead of by their number (Dr. GRPO).

    Args:
        policy_log_probs: Shape (B, T), nats, with a gradient.
        response_mask: Shape (B, T).
        gradient_accumulation_steps: Micro-batches per optimizer step.
        loss_type: As in `compute_policy_gradient_loss`, and so are the rewards and ranges.
        raw_rewards: Shape (B, 1).
        advantages: Shape (B, 1).
        old_log_probs: Shape (B, T), nats.
        cliprange: The range on both sides, or the lower one.
        cliprange_high: The upper range where it differs.
        normalize_constant: Divides the sum over a response's tokens.

    Returns:
        The loss that was backpropagated (scalar); `response_tokens`, and for grpo_clip `clipped`
        (B, T) and `clip_fraction`, the share of response tokens that were clipped.

    Raises:
        ValueError: there is no such loss, or what it needs was not given.
    """
    per_token, metadata = compute_policy_gradient_loss(
        policy_log_probs,
        loss_type,
        raw_rewards,
        advantages,
        old_log_probs,
        cliprange,
        cliprange_high=cliprange_high,
    )
    if normalize_constant is None:
        per_response = masked_mean(per_token, response_mask, dim=-1)
    else:
        per_response = masked_normalize(per_token, response_mask, normalize_constant, dim=-1)
    loss = per_response.mean() / gradient_accumulation_steps
    loss.backward()
    metadata["response_tokens"] = response_mask.bool().sum()
    if "clipped" in metadata:
        clipped = metadata["clipped"].to(policy_log_probs.dtype)
        metadata["clip_fraction"] = masked_mean(clipped, response_mask)
    return loss.detach(), metadata


def _loss_type(name: LossType | str) -> LossType:
    try:
        return LossType(name)
    except ValueError:
        known = ", ".join(LossType)
        raise ValueError(f"the loss {name!r} is none of {known}") from None
