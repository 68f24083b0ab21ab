"""The share of weights that an update leaves as they were."""

import pytest
import torch

from trainers.update_probe import MEASURED_EVERY, UpdateProbe


def updated(dtype: torch.dtype, rate: float, *, idle_rows: int = 0) -> float | None:
    """The share after one update of a 40 x 40 matrix with weights around 0.02."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.nn.Parameter((torch.randn(40, 40, generator=generator) * 0.02).to(dtype))
    adamw = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    probe = UpdateProbe(adamw).attach()
    for step in (1, MEASURED_EVERY):
        weight.grad = torch.randn(40, 40, generator=generator).to(dtype)
        weight.grad[:idle_rows] = 0
        probe.arm(step)
        adamw.step()
    return probe.share()


def test_bfloat16_weights_swallow_a_small_update_and_float32_ones_do_not() -> None:
    swallowed, kept = updated(torch.bfloat16, 1e-6), updated(torch.float32, 1e-6)
    assert swallowed is not None
    assert swallowed > 0.8
    assert kept == 0


def test_float32_weights_swallow_a_vanishing_one() -> None:
    share = updated(torch.float32, 1e-13)
    assert share is not None
    assert share > 0.9


def test_weights_without_a_gradient_do_not_count() -> None:
    assert updated(torch.float32, 1e-3, idle_rows=30) == 0


def test_nothing_is_measured_between_and_where_the_rate_is_zero() -> None:
    assert updated(torch.float32, 0.0) is None
    weight = torch.nn.Parameter(torch.ones(4, 4))
    adamw = torch.optim.AdamW([weight], lr=1e-3)
    probe = UpdateProbe(adamw).attach()
    weight.grad = torch.ones(4, 4)
    probe.arm(MEASURED_EVERY + 1)
    adamw.step()
    assert probe.share() is None


def test_looking_on_changes_no_update() -> None:
    with_probe, without = (torch.nn.Linear(8, 8) for _ in range(2))
    without.load_state_dict(with_probe.state_dict())
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (with_probe, without)]
    probe = UpdateProbe(optimizers[0]).attach()
    for step in range(1, 12):
        probe.arm(step)
        for model, optimizer in zip((with_probe, without), optimizers, strict=True):
            model.zero_grad()
            model(torch.full((2, 8), float(step))).square().sum().backward()
            optimizer.step()
    assert torch.equal(with_probe.weight, without.weight)


@pytest.mark.parametrize("shape", [(1, 1), (3, 1)])
def test_small_matrices_are_sampled_whole(shape: tuple[int, int]) -> None:
    weight = torch.nn.Parameter(torch.ones(shape))
    adamw = torch.optim.AdamW([weight], lr=1e-2)
    probe = UpdateProbe(adamw).attach()
    weight.grad = torch.ones(shape)
    probe.arm(1)
    adamw.step()
    assert probe.share() == 0
