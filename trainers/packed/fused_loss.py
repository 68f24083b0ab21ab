"""From hidden states to a loss by the row kernel: logits stay in half precision and become their
own gradient.

Of a chunk's logits nothing else exists: the product writes them, `row_kernel` reads them and
overwrites them, and the two products of the backward pass read them again: 12 bytes for each
bfloat16 logit, where the chunks of `projection` move about 66. What a loss or an entropy needs of
a row is computed in float32.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from trainers.objectives import SftLoss
from trainers.packed.head_gradients import HeadGradients, chunk_rows, product_dtype, who_learns
from trainers.reading import (
    PLAIN_READING,
    Reading,
    TargetLogProbs,
    TokenLoss,
    chunks,
    joined,
    value_and_slope,
)

_KINDS = (torch.float32, torch.bfloat16, torch.float16)


def takes(hidden: Tensor, reading: Reading) -> bool:
    """Whether the kernel can read these targets: nothing but a temperature may change logits."""
    return reading.only_temperature and product_dtype(hidden) in _KINDS


def fused_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    denominator: float,
    chunk_logits: int | None = None,
) -> Tensor:
    """`chunked_loss` by the row kernel.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        denominator: Of the loss, the same for every micro-batch of the step.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Raises:
        ValueError: the denominator is not positive.
        ImportError: Triton is not installed.
    """
    if denominator <= 0:
        raise ValueError(f"the denominator of a loss must be positive, not {denominator}")
    loss = SftLoss(denominator)
    return fused_token_loss(hidden, weight, labels, loss, PLAIN_READING, chunk_logits)[0]


def fused_token_loss(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    loss: TokenLoss,
    reading: Reading = PLAIN_READING,
    chunk_logits: int | None = None,
) -> tuple[Tensor, TargetLogProbs]:
    """`chunked_token_loss` by the row kernel, for readings that `takes` accepts.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        loss: Of log-probabilities and places; called once for each chunk.
        reading: Of the labels.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Returns:
        The loss, ready for one `backward`, and what was read of the labels, without gradients.

    Raises:
        ImportError: Triton is not installed.
    """
    rows = _even_rows(len(labels), chunk_rows(hidden, weight, chunk_logits))
    value, log_probs, entropy = _Fused.apply(
        hidden,
        weight,
        labels,
        loss,
        reading,
        rows,
        product_dtype(hidden),
        who_learns(hidden, weight),
    )
    return value, TargetLogProbs(log_probs, entropy)


@torch.no_grad()
def fused_targets(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    reading: Reading = PLAIN_READING,
    chunk_logits: int | None = None,
) -> TargetLogProbs:
    """`chunked_targets` by the row kernel, for readings that `takes` accepts.

    Args:
        hidden: Shape (S, H).
        weight: Shape (V, H).
        labels: Shape (S,), int64.
        reading: Of the labels.
        chunk_logits: Logits that may exist at once; chosen by device when None.

    Raises:
        ImportError: Triton is not installed.
    """
    from trainers.packed.row_kernel import read_rows

    dtype = product_dtype(hidden)
    narrow = weight.to(dtype)
    parts = []
    rows = _even_rows(len(labels), chunk_rows(hidden, weight, chunk_logits))
    for part in chunks(len(labels), rows):
        logits = hidden[part].to(dtype) @ narrow.T
        temperature = reading.rules.temperature
        found = read_rows(logits, labels[part], temperature=temperature, entropy=reading.entropy)
        parts.append(TargetLogProbs(found[1], found[2]))
    return joined(parts)


class _Fused(torch.autograd.Function):
    """Forward computes loss and gradients of a chunk while its logits exist."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        loss: TokenLoss,
        reading: Reading,
        rows: int,
        dtype: torch.dtype,
        learns: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        gradients = HeadGradients(hidden, weight, dtype, learns)
        places = torch.arange(len(labels), device=labels.device)
        values, seen = [], []
        for index, part in enumerate(chunks(len(labels), rows)):
            logits = gradients.part(index, rows) @ gradients.narrow.T
            asked = logits, labels[part], places[part], reading
            if isinstance(loss, SftLoss):
                value, found = _constant_slope(*asked, loss)
            else:
                value, found = _asked_slope(*asked, loss)
            if any(learns):
                gradients.add(index, rows, logits)
            del asked, logits  # or they would still be there while the next chunk's are made
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
        # in place, as the matrix' gradient is among the largest tensors there are; a second
        # backward pass through the same graph is refused by autograd's version counters
        of_hidden, of_weight = ctx.saved_tensors
        for kept in (of_hidden, of_weight):
            if kept is not None:
                kept.mul_(upstream[0])
        return of_hidden, of_weight, None, None, None, None, None, None


Turned = tuple[Tensor, TargetLogProbs]


def _constant_slope(
    logits: Tensor, labels: Tensor, places: Tensor, reading: Reading, loss: SftLoss
) -> Turned:
    """Each target pulls by -1 / denominator, which is known before its logits are read."""
    from trainers.packed.row_kernel import read_and_write

    slopes = logits.new_full((len(labels),), -1.0 / loss.denominator, dtype=torch.float32)
    temperature = reading.rules.temperature
    log_probs, entropy = read_and_write(
        logits, labels, slopes, temperature=temperature, entropy=reading.entropy
    )
    return loss(log_probs, places), TargetLogProbs(log_probs, entropy)


def _asked_slope(
    logits: Tensor, labels: Tensor, places: Tensor, reading: Reading, loss: TokenLoss
) -> Turned:
    """The loss says what each target pulls by, once it knows the log-probabilities."""
    from trainers.packed.row_kernel import read_rows, write_gradient

    temperature = reading.rules.temperature
    totals, log_probs, entropy = read_rows(
        logits, labels, temperature=temperature, entropy=reading.entropy
    )
    value, slope = value_and_slope(loss, log_probs, places)
    write_gradient(logits, labels, slope.float(), totals, log_probs, temperature=temperature)
    return value, TargetLogProbs(log_probs, entropy)


def _even_rows(count: int, most: int) -> int:
    """As few chunks as `most` allows, and those as even as can be."""
    return max(1, -(-count // max(1, -(-count // most))))


@lru_cache
def triton_version() -> str | None:
    """Version of the installed Triton, None where it is absent or broken."""
    try:
        import triton
    except ImportError:
        return None
    version: str = triton.__version__
    return version
