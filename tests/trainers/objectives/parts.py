"""Token losses taken at once and in parts."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from core.config.methods import LossType
from tests.trainers.objectives.reference import normal
from trainers.objectives import PolicyGradientLoss


def make_loss(kind: LossType, count: int, seed: int, *, kl: float = 0.0) -> PolicyGradientLoss:
    """A loss over `count` targets of random advantages, weights, old and reference policies."""
    return PolicyGradientLoss(
        kind,
        advantages=normal(count, seed=seed + 1),
        weights=normal(count, seed=seed + 2).abs(),
        old_log_probs=normal(count, seed=seed + 3),
        clip_low=0.2,
        clip_high=0.3,
        reference_log_probs=normal(count, seed=seed + 4),
        kl=kl,
        importance=normal(count, seed=seed + 5).abs(),
    )


def fresh(loss: PolicyGradientLoss) -> PolicyGradientLoss:
    """The same loss before its first call."""
    return replace(loss)


def whole(loss: PolicyGradientLoss, log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Value and slopes, taken at once."""
    leaf = log_probs.detach().requires_grad_()
    value = loss(leaf, torch.arange(len(leaf)))
    (slopes,) = torch.autograd.grad(value, leaf)
    return value.detach(), slopes


def in_parts(
    loss: PolicyGradientLoss, log_probs: Tensor, parts: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Value and slopes, taken part by part."""
    value, slopes = torch.zeros((), dtype=torch.float64), torch.zeros_like(log_probs)
    for places in parts:
        leaf = log_probs[places].detach().requires_grad_()
        part = loss(leaf, places)
        (slopes[places],) = torch.autograd.grad(part, leaf)
        value += part.detach()
    return value, slopes


def statistics(loss: PolicyGradientLoss) -> tuple[int, int, float, float]:
    return loss.clipped, loss.targets, loss.kl_sum, loss.ratio_max


def random_parts(count: int, seed: int) -> list[Tensor]:
    """Any order, cut anywhere; parts may be empty."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(count, generator=generator)
    cuts = torch.randint(0, count + 1, (3,), generator=generator).sort().values.tolist()
    ends = [0, *cuts, count]
    return [order[start:end] for start, end in pairwise(ends)]


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=0, atol=1e-10)
