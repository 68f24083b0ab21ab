"""Rounding to bfloat16 up or down at random, so that what is lost in one update comes in another.

A float32 value between two neighbours in bfloat16 goes to each with the probability that makes the
mean right (Gupta et al. 2015, https://arxiv.org/abs/1502.02551). The random bits are a function of
seed, step, parameter and place alone: nothing has to be stored for a resume, and CPU and CUDA,
whole and sharded parameters draw the same ones.
"""

import hashlib
import struct

import torch
from torch import Tensor

BITS = 16
"""Bits of a float32 that bfloat16 leaves out."""

# an integer hash of two rounds (Wellons 2018, https://nullprogram.com/blog/2018/07/31/), with a key
# before each of them
FIRST_FACTOR, SECOND_FACTOR = 0x7FEB352D, 0x846CA68B
_MASK = 2**BITS - 1
_FIRST, _SECOND = FIRST_FACTOR, SECOND_FACTOR - 2**32

Keys = tuple[int, int]


def keys_of(seed: int, step: int, name: str) -> Keys:
    """Two 32-bit numbers, with sign, that say which random bits one parameter gets in one update.

    Args:
        seed: Of the run.
        step: The update, from 1.
        name: Of the parameter.
    """
    first, second = struct.unpack(
        "<ii", hashlib.sha256(f"{seed} {step} {name}".encode()).digest()[:8]
    )
    return first, second


def random_bits(keys: Keys, start: int, count: int, device: torch.device | str = "cpu") -> Tensor:
    """32 random bits for each of the places `start` to `start + count - 1`.

    Args:
        keys: As `keys_of` gives them.
        start: The first place in the parameter.
        count: How many places.
        device: Where they are needed.

    Returns:
        Shape (count,), int32.
    """
    places = torch.arange(count, dtype=torch.int32, device=device)
    mixed = places.add_(_wrapped(start + keys[0]))
    mixed.bitwise_xor_(_shifted(mixed, 16)).mul_(_FIRST)
    mixed.bitwise_xor_(_shifted(mixed, 15)).bitwise_xor_(keys[1]).mul_(_SECOND)
    return mixed.bitwise_xor_(_shifted(mixed, 16))


def low_bits(bits: Tensor) -> Tensor:
    """The lower half of `random_bits`, 0 to 65535; int32 of the same shape."""
    return bits & _MASK


def high_bits(bits: Tensor) -> Tensor:
    """The upper half of `random_bits`, 0 to 65535; int32 of the same shape."""
    return _shifted(bits, BITS)


def round_stochastically(values: Tensor, bits: Tensor) -> Tensor:
    """To bfloat16, away from zero with the probability that the cut off bits say.

    Args:
        values: float32. NaN and infinities stay what they are.
        bits: int32, 0 to 65535, as many; all of them equally likely.

    Returns:
        bfloat16, the same shape.
    """
    cut = (values.view(torch.int32) + bits).bitwise_and_(~_MASK).view(torch.float32)
    return torch.where(values.isfinite(), cut, values).to(torch.bfloat16)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """To the right, filled with zeros: int32 would fill with its sign."""
    return (bits >> count).bitwise_and_(2 ** (32 - count) - 1)


def _wrapped(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31
