"""The written-out passes over bfloat16 weights: those over float32 weights of the same values."""

import copy

import pytest
import torch

from tests.trainers.fast.test_passes import example, model, passes, random_batch
from trainers.fast.layout import pack
from trainers.tokenization import Example


def found(made, batches: list[list[Example]]) -> tuple[float, dict[str, torch.Tensor]]:
    made.zero_grad()
    written = passes(made, torch.bfloat16)
    value = 0.0
    for batch in batches:
        row = pack(batch, grain=written.grain)
        loss, _ = written.accumulate(row, lambda values, _: -values.sum())
        value += float(loss)
    return value, {name: p.grad for name, p in made.named_parameters()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("pieces", [1, 6], ids=["whole", "in micro-batches"])
def test_the_loss_is_the_same_and_gradients_are_rounded(tied: bool, pieces: int) -> None:
    narrow = model(tied=tied, dtype=torch.bfloat16)
    wide = copy.deepcopy(narrow).float()
    batch = random_batch(6, 120)
    size = len(batch) // pieces
    batches = [batch[n : n + size] for n in range(0, len(batch), size)]
    expected, wanted = found(wide, batches)
    value, gradients = found(narrow, batches)
    assert value == expected
    for name, gradient in wanted.items():
        assert gradients[name].dtype is torch.bfloat16
        error = float((gradients[name].float() - gradient).norm())
        # 2^-9 at most for each rounding, of which micro-batches need one each
        assert error <= 2**-9 * (1 + pieces) * float(gradient.norm()), name


@pytest.mark.slow
def test_a_token_that_is_everywhere_keeps_its_gradient() -> None:
    """Added up one by one in bfloat16, the last of many equal parts would be lost."""
    narrow = model(tied=False, dtype=torch.bfloat16)
    wide = copy.deepcopy(narrow).float()
    batch = [example("long", [3] * 60 + [5] * 1500 + [7], [False] * 1560 + [True])]
    _, wanted = found(wide, [batch])
    _, gradients = found(narrow, [batch])
    name = "model.embed_tokens.weight"
    error = (gradients[name].float() - wanted[name]).norm()
    assert float(error) <= 2**-8 * float(wanted[name].norm())
