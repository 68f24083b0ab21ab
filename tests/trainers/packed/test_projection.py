"""Log-probabilities and loss by chunks, against full logits in float64."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainers.objectives import sft_loss, token_log_probs
from trainers.packed.projection import (
    chunked_log_probs,
    chunked_loss,
    chunked_targets,
    chunked_token_loss,
)
from trainers.reading import Reading


def tensors(positions: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(positions)
    hidden = torch.randn(positions, 6, dtype=dtype, generator=generator).requires_grad_()
    weight = torch.randn(11, 6, dtype=dtype, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(11, (positions,), generator=generator)


def _halved_loss(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_logits: int) -> Tensor:
    return chunked_loss(hidden, weight, labels, 2.0, chunk_logits)


FORMS = [chunked_log_probs, _halved_loss]


def _called(form: Callable[..., Tensor], labels: Tensor, hidden: Tensor, weight: Tensor) -> Tensor:
    return form(hidden, weight, labels, 22)


def full(hidden: Tensor, weight: Tensor, labels: Tensor) -> Tensor:
    return token_log_probs(hidden @ weight.T, labels)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 130))
def test_log_probs_and_their_gradients_equal_those_of_full_logits(
    positions: int, chunk_logits: int
) -> None:
    hidden, weight, labels = tensors(positions)
    upstream = torch.linspace(-1, 2, positions, dtype=torch.float64)
    expected = full(hidden, weight, labels)
    found = chunked_log_probs(hidden, weight, labels, chunk_logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(found, (hidden, weight), upstream),
        torch.autograd.grad(expected, (hidden, weight), upstream),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 130), st.floats(0.5, 50))
def test_the_loss_and_its_gradients_equal_those_of_full_logits(
    positions: int, chunk_logits: int, denominator: float
) -> None:
    hidden, weight, labels = tensors(positions)
    expected = sft_loss(full(hidden, weight, labels), denominator)
    found = chunked_loss(hidden, weight, labels, denominator, chunk_logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    # a factor after the loss must reach gradients that were taken before it was known
    for mine, wanted in zip(
        torch.autograd.grad(3.0 * found, (hidden, weight)),
        torch.autograd.grad(3.0 * expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=1e-12)


def _uneven_loss(log_probs: Tensor, places: Tensor) -> Tensor:
    return ((places + 1) * (log_probs + log_probs.square())).sum()


def _token_loss(hidden: Tensor, weight: Tensor, labels: Tensor, chunk_logits: int) -> Tensor:
    return chunked_token_loss(hidden, weight, labels, _uneven_loss, Reading(), chunk_logits)[0]


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9), st.integers(1, 130))
def test_any_sum_over_targets_has_the_gradients_of_full_logits(
    positions: int, chunk_logits: int
) -> None:
    hidden, weight, labels = tensors(positions)
    log_probs = full(hidden, weight, labels)
    expected = _uneven_loss(log_probs, torch.arange(positions))
    found = _token_loss(hidden, weight, labels, chunk_logits)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    for mine, wanted in zip(
        torch.autograd.grad(3.0 * found, (hidden, weight)),
        torch.autograd.grad(3.0 * expected, (hidden, weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, wanted, rtol=1e-12, atol=1e-12)
    read = chunked_targets(hidden, weight, labels, Reading(), chunk_logits)
    torch.testing.assert_close(read.log_probs, log_probs.detach(), rtol=0, atol=1e-12)


@pytest.mark.slow
@settings(deadline=None, max_examples=5)
@given(st.integers(1, 6))
def test_gradients_pass_a_numerical_check(positions: int) -> None:
    hidden, weight, labels = tensors(positions)
    assert torch.autograd.gradcheck(
        lambda h, w: chunked_log_probs(h, w, labels, 22), (hidden, weight)
    )
    assert torch.autograd.gradcheck(
        lambda h, w: chunked_loss(h, w, labels, 4.0, 22), (hidden, weight)
    )
    assert torch.autograd.gradcheck(lambda h, w: _token_loss(h, w, labels, 22), (hidden, weight))


@pytest.mark.parametrize(
    "form", [chunked_log_probs, lambda h, w, y, c: chunked_loss(h, w, y, 2.0, c), _token_loss]
)
@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_what_is_frozen_gets_no_gradient(form: Callable[..., Tensor], frozen: str) -> None:
    hidden, weight, labels = tensors(5)
    still, moving = (hidden, weight) if frozen == "hidden" else (weight, hidden)
    still.requires_grad_(False)
    form(hidden, weight, labels, 22).sum().backward()
    assert still.grad is None
    assert moving.grad is not None


def test_without_gradients_the_loss_is_the_same() -> None:
    hidden, weight, labels = tensors(5)
    with torch.no_grad():
        found = chunked_loss(hidden, weight, labels, 2.0, 22)
    assert not found.requires_grad
    assert torch.equal(found, chunked_loss(hidden, weight, labels, 2.0, 22).detach())


def test_the_order_of_two_backward_passes_through_one_loss_does_not_matter() -> None:
    hidden, weight, labels = tensors(5)
    loss = chunked_loss(hidden, weight, labels, 2.0, 22)
    first = torch.autograd.grad(loss, hidden, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(loss, hidden)[0], first)


def test_no_tensor_as_large_as_all_logits_ever_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.numel())
            return result

    hidden, weight, labels = tensors(60)
    with Watch():
        chunked_log_probs(hidden, weight, labels, 110).sum().backward()
        chunked_loss(hidden, weight, labels, 60.0, 110).backward()
        _token_loss(hidden, weight, labels, 110).backward()
    assert largest == hidden.numel() < 60 * 11


def test_autocast_multiplies_in_bfloat16_and_normalises_in_float32() -> None:
    hidden, weight, labels = tensors(40, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = token_log_probs(torch.nn.functional.linear(hidden, weight).float(), labels)
        found = chunked_log_probs(hidden, weight, labels, 110)
        loss = chunked_loss(hidden, weight, labels, 40.0, 110)
        read = chunked_targets(hidden, weight, labels, Reading(), 110).log_probs
        asked, _ = chunked_token_loss(
            hidden, weight, labels, lambda values, _: sft_loss(values, 40.0), Reading(), 110
        )
    assert found.dtype is loss.dtype is asked.dtype is read.dtype is torch.float32
    torch.testing.assert_close(read, expected.detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(loss, sft_loss(expected, 40.0), rtol=0, atol=1e-6)
    wanted = torch.autograd.grad(sft_loss(expected, 40.0), (hidden, weight))
    for form in (sft_loss(found, 40.0), loss, asked):
        for mine, other in zip(torch.autograd.grad(form, (hidden, weight)), wanted, strict=True):
            assert mine.dtype is torch.float32
            assert (mine - other).norm() < 0.02 * other.norm()


def test_a_denominator_of_zero_is_refused() -> None:
    hidden, weight, labels = tensors(2)
    with pytest.raises(ValueError, match="positive"):
        chunked_loss(hidden, weight, labels, 0.0)
