"""From hidden states to a loss by the row kernel: logits stay in half precision and become their
own gradient.

Of a chunk's logits nothing else exists: the product writes them, `row_kernel` reads them and
overwrites them, and the two products of the backward pass read them again: 12 bytes for each
bfloat16 logit, where the chunks of `projection` move about 66. What a loss or an entropy needs of
a row is computed in float32.
"""

from functools import lru_cache, partial

import torch
from torch import Tensor

from trainers.objectives import SftLoss
from trainers.packed.forward_gradient import (
    Chunk,
    ForwardGradientInPlace,
    Turn,
    Turned,
    loss_by,
)
from trainers.packed.head_gradients import chunk_rows, product_dtype
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
# a logit of what cannot be sampled: its share is 0, and finite, so that 0 times it is 0
_LOWEST = -1e30


def takes(hidden: Tensor, reading: Reading) -> bool:
    """Whether the kernel can read targets at these states (S, H): a nucleus would have to sort."""
    return reading.rules.top_p == 1 and product_dtype(hidden) in _KINDS


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
    turn: Turn = partial(_asked_slope, loss=loss)
    if isinstance(loss, SftLoss):
        turn = partial(_known_slope, loss=loss)
    rows = _even_rows(len(labels), chunk_rows(hidden, weight, chunk_logits))
    return loss_by(ForwardGradientInPlace, turn, hidden, weight, labels, reading, rows)


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
        _forbid_ends(logits, reading.part(part))
        temperature = reading.rules.temperature
        found = read_rows(logits, labels[part], temperature=temperature, entropy=reading.entropy)
        parts.append(TargetLogProbs(found[1], found[2]))
    return joined(parts)


def _forbid_ends(logits: Tensor, reading: Reading) -> None:
    """Make the ends of a response impossible where the rules do; their gradient becomes 0."""
    if reading.early is None:
        return
    lowest = max(_LOWEST, torch.finfo(logits.dtype).min)
    for end in reading.rules.end_ids:  # one column each: an index tensor would have to be sent
        logits[:, end].masked_fill_(reading.early, lowest)


def _known_slope(chunk: Chunk, matrix: Tensor, *, loss: SftLoss) -> Turned:
    """Each target pulls by -1 / denominator, which is known before its logits are read."""
    from trainers.packed.row_kernel import read_and_write

    logits, reading = _logits(chunk, matrix), chunk.reading
    slopes = logits.new_full((len(logits),), -1.0 / loss.denominator, dtype=torch.float32)
    temperature = reading.rules.temperature
    log_probs, entropy = read_and_write(
        logits, chunk.labels, slopes, temperature=temperature, entropy=reading.entropy
    )
    return loss(log_probs, chunk.places), TargetLogProbs(log_probs, entropy), logits


def _asked_slope(chunk: Chunk, matrix: Tensor, *, loss: TokenLoss) -> Turned:
    """The loss says what each target pulls by, once it knows the log-probabilities."""
    from trainers.packed.row_kernel import read_rows, write_gradient

    logits, reading = _logits(chunk, matrix), chunk.reading
    temperature = reading.rules.temperature
    totals, log_probs, entropy = read_rows(
        logits, chunk.labels, temperature=temperature, entropy=reading.entropy
    )
    value, slope = value_and_slope(loss, log_probs, chunk.places)
    write_gradient(logits, chunk.labels, slope.float(), totals, log_probs, temperature=temperature)
    return value, TargetLogProbs(log_probs, entropy), logits


def _logits(chunk: Chunk, matrix: Tensor) -> Tensor:
    """Logits of a chunk, (n, V), in the precision of the products."""
    logits = chunk.states @ matrix.T
    _forbid_ends(logits, chunk.reading)
    return logits


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
