"""What one token weighs: by its response's length, and by who computed its probability."""

import math

import pytest
import torch

from core.config.methods import LengthNormalization
from trainers.objectives import token_weights, truncated_importance


def test_token_weights_by_hand() -> None:
    lengths = [2, 0, 8]
    assert token_weights(lengths, LengthNormalization.SEQUENCE_MEAN) == [1 / 6, 0.0, 1 / 24]
    assert token_weights(lengths, LengthNormalization.TOKEN_MEAN) == [0.1, 0.0, 0.1]
    assert token_weights(lengths, LengthNormalization.CONSTANT, 4.0) == [1 / 12, 0.0, 1 / 12]


@pytest.mark.parametrize("constant", [None, 0.0, -1.0])
def test_a_constant_must_be_positive(constant: float | None) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        token_weights([1], LengthNormalization.CONSTANT, constant)


def test_importance_is_the_truncated_ratio_without_a_slope() -> None:
    trainer = torch.tensor([0.0, -1.0, -3.0], dtype=torch.float64, requires_grad=True)
    engine = torch.tensor([0.0, -2.0, -2.0], dtype=torch.float64)
    weights = truncated_importance(trainer, engine, cap=2.0)
    assert weights.tolist() == pytest.approx([1.0, 2.0, math.exp(-1)], abs=1e-12)
    assert not weights.requires_grad
