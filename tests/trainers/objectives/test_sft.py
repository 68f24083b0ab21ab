"""The SFT loss: averages, normalisation, and parts that add up to the whole."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainers.objectives.reference import normal, random_mask
from trainers.objectives import SftLoss, sft_loss, sft_microbatch_train_step


def test_microbatch_step_averages_over_sequences_and_accumulation() -> None:
    log_probs = torch.tensor([[-1.0, -2.0], [-3.0, -4.0]], dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[1, 1], [1, 0]])
    loss, metadata = sft_microbatch_train_step(log_probs, mask, 2, normalize_constant=10.0)
    assert loss.item() == pytest.approx(((1 + 2) / 10 + 3 / 10) / 2 / 2)
    assert log_probs.grad is not None
    assert torch.allclose(log_probs.grad, -mask.double() / (10.0 * 2 * 2))
    assert metadata["supervised_tokens"].item() == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(0, 10_000))
def test_token_loss_is_the_same_however_the_step_is_split(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randn(length, dtype=torch.float64, generator=generator) for length in lengths]
    total = float(sum(lengths))
    whole = -math.fsum(value for row in rows for value in row.tolist()) / total
    parts = sum(sft_loss(row, total) for row in rows)
    assert whole == pytest.approx(float(parts), abs=1e-12)
    wherever = sum(SftLoss(total)(row, torch.arange(len(row))) for row in rows)
    assert whole == pytest.approx(float(wherever), abs=1e-12)


def test_loss_refuses_an_empty_denominator() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        sft_loss(torch.zeros(1), 0.0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 10_000), st.integers(1, 3))
def test_microbatch_step_and_its_slopes_equal_plain_loops(
    rows: int, width: int, seed: int, accumulation: int
) -> None:
    log_probs = normal(rows, width, seed=seed).requires_grad_()
    mask = random_mask(rows, width, seed)
    loss, _ = sft_microbatch_train_step(log_probs, mask, accumulation, 3.0)
    assert log_probs.grad is not None
    cells = [(b, t) for b in range(rows) for t in range(width) if mask[b, t]]
    total = -math.fsum(log_probs[cell].item() for cell in cells) / (3.0 * rows * accumulation)
    assert loss.item() == pytest.approx(total, abs=1e-10)
    expected = -mask.double() / (3.0 * rows * accumulation)
    assert torch.allclose(log_probs.grad, expected, rtol=0, atol=1e-10)
