"""Losses over the vocabulary whose gradient is taken in the forward pass, chunk by chunk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainers.packed.head_gradients import HeadGradients, product_dtype, who_learns
from trainers.reading import Reading, TargetLogProbs, chunks, joined


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of the targets of a row.

    Attributes:
        states: Shape (n, H), in the precision of the products.
        labels: Shape (n,), int64.
        places: Shape (n,), int64: which targets of the row these are.
        reading: For these targets.
    """

    states: Tensor
    labels: Tensor
    places: Tensor
    reading: Reading


Turned = tuple[Tensor, TargetLogProbs, Tensor]
"""Of a chunk: its loss, what was read of it, and the gradient by its logits, shape (n, V)."""

Turn = Callable[[Chunk, Tensor], Turned]
"""Makes logits of a chunk and of the output embedding (V, H), reads them, and turns them into their
gradient. Nothing else holds the logits, so they are gone as soon as it lets go of them."""


class ForwardGradient(torch.autograd.Function):
    """Forward computes loss and gradients of a chunk while its logits exist."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        reading: Reading,
        turn: Turn,
        rows: int,
        dtype: torch.dtype,
        learns: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Scalar loss, and shape (S,) each: log-probabilities, and entropies if asked for."""
        gradients = HeadGradients(hidden, weight, dtype, learns)
        places = torch.arange(len(labels), device=labels.device)
        values, seen = [], []
        for index, part in enumerate(chunks(len(labels), rows)):
            states = gradients.part(index, rows)
            chunk = Chunk(states, labels[part], places[part], reading.part(part))
            value, found, of_logits = turn(chunk, gradients.narrow)
            if any(learns):
                gradients.add(index, rows, of_logits)
            del of_logits  # or it would still be there while the next chunk's logits are made
            values.append(value)
            seen.append(found)
        ctx.save_for_backward(gradients.hidden, gradients.weight)
        whole = joined(seen)
        ctx.mark_non_differentiable(whole.log_probs)
        if whole.entropy is not None:
            ctx.mark_non_differentiable(whole.entropy)
        return sum(values[1:], values[0]), whole.log_probs, whole.entropy

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by states (S, H) and matrix (V, H), times the scalar one of the loss."""
        scaled = [None if kept is None else kept * upstream[0] for kept in ctx.saved_tensors]
        return scaled[0], scaled[1], None, None, None, None, None, None


class ForwardGradientInPlace(ForwardGradient):
    """The same for one backward pass, without a second tensor of the matrix' size.

    It is among the largest tensors there are; a second backward pass through the same graph is
    refused by autograd's version counters.
    """

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients by states (S, H) and matrix (V, H), times the scalar one of the loss."""
        of_hidden, of_weight = ctx.saved_tensors
        for kept in (of_hidden, of_weight):
            if kept is not None:
                kept.mul_(upstream[0])
        return of_hidden, of_weight, None, None, None, None, None, None


def loss_by(
    form: type[ForwardGradient],
    turn: Turn,
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    reading: Reading,
    rows: int,
) -> tuple[Tensor, TargetLogProbs]:
    """A loss of targets, ready for `backward`, and what was read of them, without gradients.

    Args:
        form: How the backward pass hands on what the forward pass found.
        turn: What becomes of a chunk's logits.
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        reading: Of the labels.
        rows: Targets of a chunk, at most.
    """
    value, log_probs, entropy = form.apply(
        hidden,
        weight,
        labels,
        reading,
        turn,
        rows,
        product_dtype(hidden),
        who_learns(hidden, weight),
    )
    return value, TargetLogProbs(log_probs, entropy)
