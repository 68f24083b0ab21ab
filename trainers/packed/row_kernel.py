"""One Triton kernel over rows of logits: log-probabilities, entropies, and the gradient in place.

A program reads its row once for the sum of exponentials, which it rescales whenever a larger logit
appears (Milakov & Gimelshein 2018, "Online normalizer calculation for softmax"), and a second time
to overwrite it by the gradient. So a chunk of logits goes through device memory three times, twice
read and once written, where torch's own operations take about fifteen passes over a float32 copy.

Import this only where Triton is installed; `TRITON_INTERPRET=1` in the environment runs it on CPUs.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 4096
_WARPS = 8
# below any logit, and finite: its differences from itself are 0 and not NaN
_LOWEST = tl.constexpr(-1e30)
# where the series of expm1 takes over from exp(x) - 1, which cancels
_SMALL = tl.constexpr(-0.03125)


@triton.jit
def _row_program(  # type: ignore[no-untyped-def]
    logits,
    stride,
    labels,
    slopes,
    totals,
    log_probs,
    entropies,
    columns,
    inverse_temperature,
    read: tl.constexpr,
    entropy: tl.constexpr,
    write: tl.constexpr,
    block: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * stride
    label = tl.load(labels + row)
    chosen = tl.load(logits + label).to(tl.float32) * inverse_temperature
    places = tl.arange(0, block)
    if read:
        largest = _LOWEST
        mass = 0.0
        weighted = 0.0
        for start in range(0, columns, block):
            inside = start + places < columns
            values = tl.load(logits + start + places, mask=inside, other=0.0).to(tl.float32)
            values = tl.where(inside, values * inverse_temperature, _LOWEST)
            higher = tl.maximum(largest, tl.max(values, 0))
            gaps = values - higher
            shares = tl.where(inside, tl.exp(gaps), 0.0)
            scale = tl.exp(largest - higher)
            if entropy:
                terms = tl.sum(tl.where(inside, shares * gaps, 0.0), 0)
                weighted = (weighted + (largest - higher) * mass) * scale + terms
            mass = mass * scale + tl.sum(shares, 0)
            largest = higher
        total = largest + tl.log(mass)
        tl.store(totals + row, total)
        # the label's gap from the largest first: both lie far from zero where the sum does
        gap = (chosen - largest) - tl.log(mass)
        tl.store(log_probs + row, gap)
        if entropy:
            tl.store(entropies + row, tl.log(mass) - weighted / mass)
    else:
        total = tl.load(totals + row)
        gap = tl.load(log_probs + row)
    if write:
        slope = tl.load(slopes + row) * inverse_temperature
        series = gap * (1.0 + gap / 2.0 * (1.0 + gap / 3.0 * (1.0 + gap / 4.0)))
        missing = -tl.where(gap > _SMALL, series, tl.exp(gap) - 1.0)
        for start in range(0, columns, block):
            inside = start + places < columns
            values = tl.load(logits + start + places, mask=inside, other=0.0).to(tl.float32)
            shares = tl.exp(values * inverse_temperature - total)
            pulled = tl.where(start + places == label, missing, -shares) * slope
            tl.store(logits + start + places, pulled.to(logits.dtype.element_ty), mask=inside)


def read_rows(
    logits: Tensor, labels: Tensor, *, temperature: float = 1.0, entropy: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What is read of each row's label; the logits stay.

    Args:
        logits: Shape (n, V), a half precision or float32, rows contiguous.
        labels: Shape (n,), int64.
        temperature: Divides the logits.
        entropy: Of the rows' distributions too.

    Returns:
        Log-sum-exp, log-probability and entropy of each row, shape (n,) each, float32, nats.
    """
    totals, log_probs, entropies = _numbers(logits, entropy=entropy)
    _launch(logits, labels, None, totals, log_probs, entropies, temperature)
    return totals, log_probs, entropies


def write_gradient(
    logits: Tensor,
    labels: Tensor,
    slopes: Tensor,
    totals: Tensor,
    log_probs: Tensor,
    *,
    temperature: float = 1.0,
) -> None:
    """Overwrite logits z by slope / temperature x (onehot - softmax(z / temperature)).

    Args:
        logits: Shape (n, V), as `read_rows` was given them.
        labels: Shape (n,), int64.
        slopes: Shape (n,), float32: the loss's gradient by each row's log-probability.
        totals: From `read_rows`.
        log_probs: From `read_rows`.
        temperature: Divides the logits.
    """
    _launch(logits, labels, slopes, totals, log_probs, None, temperature, read=False)


def read_and_write(
    logits: Tensor,
    labels: Tensor,
    slopes: Tensor,
    *,
    temperature: float = 1.0,
    entropy: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Both at once, where the slopes are known beforehand.

    Returns:
        Log-probabilities and entropies, shape (n,) each, float32, nats.
    """
    totals, log_probs, entropies = _numbers(logits, entropy=entropy)
    _launch(logits, labels, slopes, totals, log_probs, entropies, temperature)
    return log_probs, entropies


def _numbers(logits: Tensor, *, entropy: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    totals, log_probs, entropies = torch.empty(
        (3, len(logits)), dtype=torch.float32, device=logits.device
    )
    return totals, log_probs, entropies if entropy else None


def _launch(
    logits: Tensor,
    labels: Tensor,
    slopes: Tensor | None,
    totals: Tensor,
    log_probs: Tensor,
    entropies: Tensor | None,
    temperature: float,
    *,
    read: bool = True,
) -> None:
    count, columns = logits.shape
    if not count:
        return
    if logits.stride(1) != 1:
        raise ValueError("rows of logits must be contiguous")
    program: Any = _row_program
    program[(count,)](
        logits,
        logits.stride(0),
        labels,
        totals if slopes is None else slopes,  # a pointer that is not read
        totals,
        log_probs,
        totals if entropies is None else entropies,
        columns,
        1.0 / temperature,
        read=read,
        entropy=entropies is not None,
        write=slopes is not None,
        block=min(_BLOCK, triton.next_power_of_2(columns)),
        num_warps=_WARPS,
    )
