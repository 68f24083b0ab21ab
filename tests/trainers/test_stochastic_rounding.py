"""Rounding at random loses nothing on average, and its random bits follow from where they are."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.stochastic_rounding import (
    FIRST_FACTOR,
    SECOND_FACTOR,
    high_bits,
    keys_of,
    low_bits,
    random_bits,
    round_stochastically,
)

MANY = 2**17
SIGMAS = 5.0
KEYS = keys_of(0, 1, "model.layers.0.mlp.up_proj.weight")
WORD = 2**32


def one(place: int, keys: tuple[int, int]) -> int:
    """The bits of one place, with Python's integers."""
    x = (place + keys[0]) % WORD
    x = (x ^ (x >> 16)) * FIRST_FACTOR % WORD
    x = (x ^ (x >> 15) ^ (keys[1] % WORD)) * SECOND_FACTOR % WORD
    return x ^ (x >> 16)


@given(
    seed=st.integers(0, 2**63 - 1),
    step=st.integers(1, 10**9),
    start=st.integers(0, 2**33),
    count=st.integers(0, 70),
)
def test_bits_are_those_of_the_formula_wherever_a_piece_begins(
    seed: int, step: int, start: int, count: int
) -> None:
    keys = keys_of(seed, step, "weight")
    found = [bits % WORD for bits in random_bits(keys, start, count).tolist()]
    assert found == [one(place, keys) for place in range(start, start + count)]


@pytest.mark.parametrize("half", [low_bits, high_bits])
def test_every_half_word_is_as_likely_as_any_other(half) -> None:
    values = half(random_bits(KEYS, 0, MANY))
    assert (int(values.min()), int(values.max())) >= (0, 2**16 - 64)
    for shift in (0, 8):
        counts = torch.bincount((values >> shift) & 255, minlength=256).double()
        chi_square = float(((counts - MANY / 256) ** 2 / (MANY / 256)).sum())
        # of 255 degrees of freedom: mean 255, standard deviation sqrt(2 * 255)
        assert abs(chi_square - 255) < SIGMAS * math.sqrt(2 * 255)


def test_neighbours_steps_parameters_and_halves_know_nothing_of_each_other() -> None:
    bits = random_bits(KEYS, 0, MANY)
    others = {
        "the next place": bits.roll(1),
        "the next step": random_bits(keys_of(0, 2, "model.layers.0.mlp.up_proj.weight"), 0, MANY),
        "another seed": random_bits(keys_of(1, 1, "model.layers.0.mlp.up_proj.weight"), 0, MANY),
        "another parameter": random_bits(keys_of(0, 1, "model.norm.weight"), 0, MANY),
    }
    pairs = [(low_bits(bits), low_bits(other)) for other in others.values()]
    pairs.append((low_bits(bits), high_bits(bits)))
    for pair in pairs:
        correlation = float(torch.corrcoef(torch.stack(pair).double())[0, 1])
        assert abs(correlation) < SIGMAS / math.sqrt(MANY)


finite = st.floats(-(2.0**126), 2.0**126, width=32).filter(
    lambda value: value == 0 or abs(value) > 1e-37
)


@given(value=finite, bits=st.integers(0, 2**16 - 1))
def test_the_result_is_a_neighbour_and_what_bfloat16_holds_stays(value: float, bits: int) -> None:
    wide = torch.tensor([value])
    added = torch.tensor([bits], dtype=torch.int32)
    rounded = round_stochastically(wide, added)
    below = torch.tensor([value]).view(torch.int32).bitwise_and(-65536).view(torch.float32)
    above = (below.view(torch.int32) + 65536).view(torch.float32)
    assert rounded.float().item() in (below.item(), above.item())
    assert torch.equal(round_stochastically(below, added).float(), below)


@settings(max_examples=30)
@given(value=finite)
def test_the_mean_is_the_value(value: float) -> None:
    wide = torch.full((MANY,), value)
    rounded = round_stochastically(wide, low_bits(random_bits(KEYS, 0, MANY))).double()
    neighbours = rounded.unique()
    step = float(neighbours.max() - neighbours.min())
    error = abs(float(rounded.mean()) - float(wide[0].double()))
    assert error <= SIGMAS * step / 2 / math.sqrt(MANY) + abs(value) * 1e-12


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 0.0])
def test_what_is_no_number_stays_so(value: float) -> None:
    bits = torch.tensor([0, 1, 65535], dtype=torch.int32)
    rounded = round_stochastically(torch.full((3,), value), bits).float()
    torch.testing.assert_close(rounded, torch.full((3,), value), rtol=0, atol=0, equal_nan=True)
    # the NaN of GPUs has all its bits set: adding to them must not make a number of it
    odd = torch.full((3,), 0x7FFFFFFF, dtype=torch.int32).view(torch.float32)
    assert bool(round_stochastically(odd, bits).isnan().all())
