"""From hidden states to log-probabilities or the loss, without ever holding all logits.

Logits exist for one chunk of positions at a time. `chunked_log_probs` computes them again in the
backward pass, which is needed where the gradient per token is not known in advance. `chunked_loss`
knows that it is -1/denominator, and `chunked_token_loss` asks the loss for it chunk by chunk; they
take the gradient in the forward pass, which saves one of the four matrix products over the
vocabulary.

With z the logits of a position, y its label and p = softmax(z):
    log p_y = z_y - logsumexp(z)        d log p_y / d z = onehot(y) - p
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from trainers.objectives import SftLoss
from trainers.packed.forward_gradient import Chunk, ForwardGradient, Turned, loss_by
from trainers.packed.head_gradients import HeadGradients, chunk_rows, product_dtype
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


def chunked_log_probs(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk_logits: int | None = None
) -> Tensor:
    """Log-probability of each label, in nats.

    Under autocast the matrix products run in its dtype and the softmax in float32.

    Args:
        hidden: Shape (S, H): hidden states at the supervised positions.
        weight: Shape (V, H): the output embedding.
        labels: Shape (S,), int64.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Returns:
        Shape (S,); float64 for float64 states, else float32.
    """
    rows = chunk_rows(hidden, weight, chunk_logits)
    result: Tensor = _LogProbs.apply(hidden, weight, labels, rows, product_dtype(hidden))
    return result


def chunked_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    denominator: float,
    chunk_logits: int | None = None,
) -> Tensor:
    """`sft_loss(chunked_log_probs(...), denominator)`, its gradient taken in the forward pass.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        denominator: Of the loss, the same for every micro-batch of the step.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Raises:
        ValueError: the denominator is not positive.
    """
    turn = partial(_known_slope, loss=SftLoss(denominator))
    rows = chunk_rows(hidden, weight, chunk_logits)
    return loss_by(ForwardGradient, turn, hidden, weight, labels, PLAIN_READING, rows)[0]


def chunked_token_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    loss: TokenLoss,
    reading: Reading = PLAIN_READING,
    chunk_logits: int | None = None,
) -> tuple[Tensor, TargetLogProbs]:
    """Any sum over targets, its gradient taken in the forward pass.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        loss: Of log-probabilities and places; called once for each chunk.
        reading: Of the labels.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Returns:
        The loss, ready for `backward`, and what was read of the labels, without gradients.
    """
    turn = partial(_asked_slope, loss=loss)
    rows = chunk_rows(hidden, weight, chunk_logits)
    return loss_by(ForwardGradient, turn, hidden, weight, labels, reading, rows)


@torch.no_grad()
def chunked_targets(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    reading: Reading = PLAIN_READING,
    chunk_logits: int | None = None,
) -> TargetLogProbs:
    """Log-probabilities and, if the reading asks for them, entropies; without gradients.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        reading: Of the labels.
        chunk_logits: Logits that may exist at once; chosen by device when None.
    """
    dtype = product_dtype(hidden)
    narrow = weight.to(dtype)
    parts = []
    for part in chunks(len(labels), chunk_rows(hidden, weight, chunk_logits)):
        logits = _logits(hidden[part].to(dtype), narrow)
        parts.append(read(logits, labels[part], reading.part(part))[1])
    return joined(parts)


class _LogProbs(torch.autograd.Function):
    """Forward keeps one number per position; backward computes each chunk's logits again."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, rows: int, dtype: torch.dtype
    ) -> Tensor:
        narrow = weight.to(dtype)
        kept, totals = [], []
        for part, target in zip(hidden.split(rows), labels.split(rows), strict=True):
            logits = _logits(part.to(dtype), narrow)
            total = torch.logsumexp(logits, dim=-1)
            kept.append(logits.gather(-1, target.unsqueeze(-1)).squeeze(-1) - total)
            totals.append(total)
        ctx.save_for_backward(hidden, weight, labels, torch.cat(totals))
        ctx.rows, ctx.dtype = rows, dtype
        return torch.cat(kept)

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, labels, totals = ctx.saved_tensors
        rows, dtype = ctx.rows, ctx.dtype
        gradients = HeadGradients(hidden, weight, dtype, ctx.needs_input_grad[:2])
        chunks = zip(labels.split(rows), totals.split(rows), upstream[0].split(rows), strict=True)
        for index, (target, total, scale) in enumerate(chunks):
            logits = _logits(gradients.part(index, rows), gradients.narrow)
            gradients.add(index, rows, _towards_label(logits, total, target, scale.unsqueeze(-1)))
        return gradients.hidden, gradients.weight, None, None, None


def _known_slope(chunk: Chunk, matrix: Tensor, *, loss: SftLoss) -> Turned:
    """Each target pulls by -1 / denominator."""
    logits = _logits(chunk.states, matrix)
    total = torch.logsumexp(logits, dim=-1)
    log_probs = logits.gather(-1, chunk.labels.unsqueeze(-1)).squeeze(-1) - total
    of_logits = _towards_label(logits, total, chunk.labels, -1 / loss.denominator)
    return loss(log_probs, chunk.places), TargetLogProbs(log_probs, None), of_logits


def _asked_slope(chunk: Chunk, matrix: Tensor, *, loss: TokenLoss) -> Turned:
    """The loss says what each target pulls by, once it knows the log-probabilities."""
    logits = _logits(chunk.states, matrix)
    shares, found = read(logits, chunk.labels, chunk.reading)
    del logits
    value, slope = value_and_slope(loss, found.log_probs, chunk.places)
    shares.scatter_(1, chunk.labels[:, None], found.log_probs.expm1()[:, None])
    scale = slope[:, None] / -chunk.reading.rules.temperature
    return value, found, shares.mul_(scale)


def _logits(states: Tensor, weight: Tensor) -> Tensor:
    """Logits of one chunk, in a tensor of their own that may be overwritten."""
    logits = states @ weight.T
    return logits if logits.dtype is torch.float64 else logits.float()


def _towards_label(logits: Tensor, total: Tensor, labels: Tensor, scale: Tensor | float) -> Tensor:
    """scale x (onehot - softmax), written over the logits."""
    pulled = logits.sub_(total.unsqueeze(-1)).exp_().neg_()
    pulled.scatter_add_(1, labels.unsqueeze(-1), torch.ones_like(total).unsqueeze(-1))
    return pulled.mul_(scale)
