"""Losses and slopes once more, token by token in plain Python: what the tensors must agree with."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from core.config.methods import LossType


@dataclass(frozen=True, slots=True)
class Token:
    """What decides one token's loss.

    Attributes:
        log_prob: Under the policy.
        advantage: Or raw reward.
        weight: Its share in the loss.
        old: Log-probability when it was sampled.
        reference: Log-probability under the reference policy.
        importance: Factor of the policy gradient.
    """

    log_prob: float
    advantage: float
    weight: float = 1.0
    old: float = 0.0
    reference: float = 0.0
    importance: float = 1.0


def policy_gradient(
    loss_type: LossType, token: Token, low: float, high: float, kl: float
) -> tuple[float, float]:
    """Loss of one token, and its derivative by the log-probability."""
    value, slope = _objective(loss_type, token, low, high)
    log_ratio = token.reference - token.log_prob
    penalty = math.exp(log_ratio) - log_ratio - 1
    return (
        token.weight * (kl * penalty - token.importance * value),
        token.weight * (kl * (1 - math.exp(log_ratio)) - token.importance * slope),
    )


def is_clipped(token: Token, low: float, high: float) -> bool:
    """PPO's four cases, spelled out: only what would go on being rewarded is clipped."""
    ratio = math.exp(token.log_prob - token.old)
    if token.advantage > 0:
        return ratio > 1 + high
    return token.advantage < 0 and ratio < 1 - low


def _objective(loss_type: LossType, token: Token, low: float, high: float) -> tuple[float, float]:
    if loss_type in (LossType.NO_BASELINE, LossType.REINFORCE_WITH_BASELINE):
        return token.advantage * token.log_prob, token.advantage
    ratio = math.exp(token.log_prob - token.old)
    if loss_type is LossType.GRPO_CLIP and is_clipped(token, low, high):
        bound = 1 + high if token.advantage > 0 else 1 - low
        return bound * token.advantage, 0.0
    return ratio * token.advantage, ratio * token.advantage


def normal(*shape: int, seed: int, spread: float = 1.0) -> Tensor:
    """Random numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(*shape, dtype=torch.float64, generator=generator)


def random_mask(rows: int, width: int, seed: int) -> Tensor:
    """A mask with something in every row."""
    mask = torch.rand(rows, width, generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[:, seed % width] = True
    return mask
