"""From hidden states to log-probabilities and straight back, without ever holding all logits."""

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from trainers.fast.ops import add_product

# logits that one chunk may hold, 6 to 10 bytes each: every chunk of a large vocabulary walks once
# over the whole gradient of the head, so chunks must not be small
_LOGITS = 64 * 1024 * 1024

TokenLoss = Callable[[Tensor, Tensor], Tensor]
"""Adds up a loss over tokens: (log-probabilities (n,), their places among the row's targets (n,))
-> scalar. It must be a sum of terms that each depend on one token, so that it may be taken in
parts."""


def project(hidden: Tensor, head: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of each label, in nats, without gradients.

    Args:
        hidden: Shape (S, H), narrow.
        head: Shape (V, H), narrow.
        labels: Shape (S,), int64.

    Returns:
        Shape (S,), float32 or wider.
    """
    rows = chunk_rows(head.shape[0])
    parts = [
        _shares_and_log_probs(F.linear(part, head), target)[1]
        for part, target in zip(hidden.split(rows), labels.split(rows), strict=True)
    ]
    return torch.cat(parts)


def project_with_gradients(
    hidden: Tensor, head: Tensor, labels: Tensor, parameter: nn.Parameter, loss: TokenLoss
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, a loss of them, and its gradients, in one pass over the vocabulary.

    With p = softmax(W h) and c the gradient of the loss by log p(y), the gradient of the logits is
    -c (p - onehot(y)): it is made from p while a chunk's logits are at hand, so that nothing is
    computed twice. c multiplies the narrow sides of the two products instead of the wide matrix,
    and p(y) - 1 = expm1(log p(y)) keeps its digits where p(y) is near 1.

    Args:
        hidden: Shape (S', H), narrow; S' >= S, and what lies behind the targets is filled in.
        head: Shape (V, H), narrow.
        labels: Shape (S,), int64.
        parameter: The head's parameter, whose `.grad` grows.
        loss: Of the log-probabilities.

    Returns:
        The loss (scalar), the log-probabilities (S,), and the gradient of `hidden`.
    """
    total, seen, gradients = None, [], torch.empty_like(hidden)
    rows, count = chunk_rows(head.shape[0]), len(labels)
    places = torch.arange(count)
    labels = F.pad(labels, (0, len(hidden) - count))
    gradients[count:] = 0.0
    for start in range(0, count, rows):
        part = slice(start, start + rows)
        shares, log_probs = _shares_and_log_probs(F.linear(hidden[part], head), labels[part])
        value, slope = _value_and_slope(loss, log_probs[: count - start], places[part])
        slope = F.pad(slope, (0, len(log_probs) - len(slope)))
        shares.scatter_(1, labels[part, None], log_probs.expm1()[:, None])
        errors, scale = shares.to(hidden.dtype), -slope[:, None]
        gradients[part] = (errors @ head) * scale
        add_product(parameter, errors, (hidden[part] * scale).to(hidden.dtype))
        total = value if total is None else total + value
        seen.append(log_probs[: count - start])
    if total is None:
        return loss(places.float(), places).detach(), places.float(), gradients
    return total, torch.cat(seen), gradients


def chunk_rows(vocabulary: int) -> int:
    """Positions that are projected at once."""
    return max(1, _LOGITS // vocabulary)


def _shares_and_log_probs(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """p = softmax(z), and log p(y) = z_y - logsumexp(z), where logsumexp(z) = max z - log max p."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    shares = torch.softmax(logits, -1, dtype=wide)
    largest, place = logits.max(-1, keepdim=True)
    # max p is at least 1 / V, so its logarithm is exact enough wherever the maximum is
    normalizer = largest.to(wide) - shares.gather(-1, place).log()
    log_probs = logits.gather(-1, labels[:, None]).to(wide) - normalizer
    return shares, log_probs.squeeze(-1)


def _value_and_slope(loss: TokenLoss, log_probs: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        leaf = log_probs.detach().requires_grad_()
        value = loss(leaf, places)
        (slope,) = torch.autograd.grad(value, leaf)
    return value.detach(), slope
