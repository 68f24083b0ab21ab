"""From hidden states to log-probabilities and straight back, without ever holding all logits."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from trainers.fast.ops import add_product
from trainers.reading import (
    PLAIN_READING,
    Reading,
    TargetLogProbs,
    TokenLoss,
    chunks,
    joined,
    read,
    value_and_slope,
)

# logits that one chunk may hold, 6 to 10 bytes each: every chunk of a large vocabulary walks once
# over the whole gradient of the head, so chunks must not be small
_LOGITS = 64 * 1024 * 1024


def project(
    hidden: Tensor, head: Tensor, labels: Tensor, reading: Reading = PLAIN_READING
) -> TargetLogProbs:
    """Log-probability of each label, without gradients.

    Args:
        hidden: Shape (S, H), narrow.
        head: Shape (V, H), narrow.
        labels: Shape (S,), int64.
        reading: Of the labels.

    Returns:
        Shape (S,), float32 or wider.
    """
    parts = [
        read(F.linear(hidden[part], head), labels[part], reading.part(part))[1]
        for part in chunks(len(labels), chunk_rows(head.shape[0]))
    ]
    return joined(parts)


def project_with_gradients(
    hidden: Tensor,
    head: Tensor,
    labels: Tensor,
    parameter: nn.Parameter,
    loss: TokenLoss,
    reading: Reading = PLAIN_READING,
) -> tuple[Tensor, TargetLogProbs, Tensor]:
    """Log-probabilities, a loss of them, and its gradients, in one pass over the vocabulary.

    With p = softmax(W h) and c the gradient of the loss by log p(y), the gradient of the logits is
    -c (p - onehot(y)): it is made from p while a chunk's logits are at hand, so that nothing is
    computed twice. c multiplies the narrow sides of the two products instead of the wide matrix,
    and p(y) - 1 = expm1(log p(y)) keeps its digits where p(y) is near 1. Under the rules of
    sampling p is 0 where a token is impossible, and a temperature divides c.

    Args:
        hidden: Shape (S', H), narrow; S' >= S, and what lies behind the targets is filled in.
        head: Shape (V, H), narrow.
        labels: Shape (S,), int64.
        parameter: The head's parameter, whose `.grad` grows.
        loss: Of the log-probabilities.
        reading: Of the labels.

    Returns:
        The loss (scalar), what was read of the labels (S,), and the gradient of `hidden`.
    """
    values, seen, gradients = [], [], torch.zeros_like(hidden)
    count, places = len(labels), torch.arange(len(labels))
    for part in chunks(count, chunk_rows(head.shape[0])):
        rows = slice(part.start, part.stop if part.stop < count else len(hidden))
        logits = F.linear(hidden[rows], head)[: count - part.start]
        shares, found = read(logits, labels[part], reading.part(part))
        value, slope = value_and_slope(loss, found.log_probs, places[part])
        shares.scatter_(1, labels[part, None], found.log_probs.expm1()[:, None])
        errors, scale = shares.to(hidden.dtype), -slope[:, None]
        if reading.rules.temperature != 1:
            scale /= reading.rules.temperature
        if spare := len(hidden[rows]) - len(errors):
            errors, scale = F.pad(errors, (0, 0, 0, spare)), F.pad(scale, (0, 0, 0, spare))
        gradients[rows] = (errors @ head) * scale
        add_product(parameter, errors, (hidden[rows] * scale).to(hidden.dtype))
        values.append(value)
        seen.append(found)
    return sum(values[1:], values[0]), joined(seen), gradients


def chunk_rows(vocabulary: int) -> int:
    """Positions that are projected at once."""
    return max(1, _LOGITS // vocabulary)
