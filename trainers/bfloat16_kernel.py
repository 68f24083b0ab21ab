"""The update of `Bfloat16AdamW` as one kernel for CUDA, written in Triton.

Weights, gradients and moments are read and written once; what is in between stays in registers.
The random bits are those of trainers/stochastic_rounding.py.
"""

import torch
import triton
import triton.language as tl

from trainers.bfloat16_adamw import Coefficients, State
from trainers.stochastic_rounding import FIRST_FACTOR, SECOND_FACTOR

_BLOCK = 1024
_FIRST: tl.constexpr = tl.constexpr(FIRST_FACTOR)
_SECOND: tl.constexpr = tl.constexpr(SECOND_FACTOR)


def update_by_kernel(state: State, made: Coefficients) -> None:
    """One launch for the update of one tensor."""
    count = state.weight.numel()
    if not count:
        return
    first_key, second_key = state.keys or (0, 0)
    with torch.cuda.device_of(state.weight):
        _adamw[(triton.cdiv(count, _BLOCK),)](
            state.weight,
            state.gradient,
            state.first,
            state.second,
            state.scale,
            count,
            state.start,
            first_key,
            second_key,
            made.rate,
            made.kept,
            made.beta1,
            1 - made.beta1,
            made.beta2,
            1 - made.beta2,
            made.root,
            made.epsilon,
            STOCHASTIC=state.keys is not None,
            BLOCK=_BLOCK,
        )


@triton.jit(do_not_specialize=["start", "first_key", "second_key"])
def _adamw(
    weight,
    gradient,
    first,
    second,
    scale,
    count,
    start,
    first_key,
    second_key,
    rate,
    kept,
    beta1,
    rest1,
    beta2,
    rest2,
    root,
    epsilon,
    STOCHASTIC: tl.constexpr,  # noqa: N803
    BLOCK: tl.constexpr,  # noqa: N803
):
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    here = places < count
    w = tl.load(weight + places, mask=here, other=0.0).to(tl.float32)
    g = tl.load(gradient + places, mask=here, other=0.0).to(tl.float32) * tl.load(scale)
    m = tl.load(first + places, mask=here, other=0.0).to(tl.float32) * beta1 + g * rest1
    v = tl.load(second + places, mask=here, other=0.0).to(tl.float32) * beta2 + g * g * rest2
    w = w * kept - rate * tl.div_rn(m, tl.div_rn(tl.sqrt_rn(v), root) + epsilon)
    if STOCHASTIC:
        bits = _random_bits(places + start, first_key, second_key)
        w, m, v = _rounded(w, bits & 0xFFFF), _rounded(m, bits >> 16), _rounded(v, bits >> 16)
    else:
        w, m, v = (
            _rounded(w, _to_nearest(w)),
            _rounded(m, _to_nearest(m)),
            _rounded(v, _to_nearest(v)),
        )
    tl.store(weight + places, w.to(tl.bfloat16), mask=here)
    tl.store(first + places, m.to(tl.bfloat16), mask=here)
    tl.store(second + places, v.to(tl.bfloat16), mask=here)


@triton.jit
def _random_bits(places, first_key, second_key):
    x = (places + first_key).to(tl.uint32)
    x = (x ^ (x >> 16)) * _FIRST
    x = (x ^ (x >> 15) ^ second_key.to(tl.uint32)) * _SECOND
    return x ^ (x >> 16)


@triton.jit
def _to_nearest(values):
    """What to add to a float32 so that cutting it rounds to the nearest, and ties to even."""
    return 0x7FFF + ((values.to(tl.uint32, bitcast=True) >> 16) & 1)


@triton.jit
def _rounded(values, bits):
    """To a float32 that bfloat16 holds; NaN and infinities stay what they are."""
    whole = values.to(tl.uint32, bitcast=True)
    cut = ((whole + bits) & 0xFFFF0000).to(tl.float32, bitcast=True)
    return tl.where((whole & 0x7F800000) == 0x7F800000, values, cut)
