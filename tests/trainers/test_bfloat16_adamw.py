"""AdamW for bfloat16 weights against the published rule in float64, and its random roundings."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from core.config.schema import TrainSettings
from trainers import bfloat16_adamw
from trainers.bfloat16_adamw import Bfloat16AdamW
from trainers.bfloat16_choice import choose_update
from trainers.optimization import Optimizer, build_optimizer
from trainers.precision import BFLOAT16, FLOAT32, STOCHASTIC, Precision
from trainers.update_probe import UpdateProbe

SETTINGS = TrainSettings(lr=1e-3, weight_decay=0.1, clip_norm=1.0)
SIGMAS = 5.0


def drawn(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale
    return made.bfloat16()


def built(
    weight: Tensor, precision: Precision, seed: int = 0, settings: TrainSettings = SETTINGS
) -> tuple[nn.Parameter, Optimizer]:
    parameter = nn.Parameter(weight.to(precision.weights, copy=True))
    return parameter, build_optimizer(
        [("weight", parameter)], settings, precision=precision, seed=seed
    )


def published(weight: Tensor, gradients: list[Tensor], rate: float) -> Tensor:
    """The rule in float64, moments and all; gradients clipped to the norm of the settings."""
    w, m, v = weight.double(), torch.zeros(()), torch.zeros(())
    for step, gradient in enumerate(gradients, start=1):
        g = gradient.double()
        g = g * min(1.0, SETTINGS.clip_norm / (float(g.norm()) + 1e-6))
        m = SETTINGS.beta1 * m + (1 - SETTINGS.beta1) * g
        v = SETTINGS.beta2 * v + (1 - SETTINGS.beta2) * g * g
        unbiased = m / (1 - SETTINGS.beta1**step), v / (1 - SETTINGS.beta2**step)
        w = w * (1 - rate * SETTINGS.weight_decay)
        w = w - rate * unbiased[0] / (unbiased[1].sqrt() + SETTINGS.epsilon)
    return w


def test_one_update_to_the_nearest_is_the_published_one_rounded_once() -> None:
    weight, gradient = drawn(60, 50, scale=0.02), drawn(60, 50, seed=1)
    parameter, optimizer = built(weight, BFLOAT16)
    parameter.grad = gradient.clone()
    norm = optimizer.update(1e-3)
    assert norm == pytest.approx(float(gradient.double().norm()), rel=1e-6)
    wanted = published(weight, [gradient], 1e-3).bfloat16()
    # a float32 sum may fall on the other side of a tie
    assert float((parameter != wanted).float().mean()) < 0.005
    torch.testing.assert_close(parameter.detach(), wanted, rtol=2**-7, atol=0)
    state = optimizer.adamw.state[parameter]
    assert {name: state[name].dtype for name in bfloat16_adamw.MOMENTS} == dict.fromkeys(
        bfloat16_adamw.MOMENTS, torch.bfloat16
    )


@pytest.mark.parametrize("rate", [1e-6, 1e-4, 1e-2])
def test_random_rounding_arrives_where_float64_does(rate: float) -> None:
    """Far below what bfloat16 tells apart (0.02 has neighbours 0.0001 away) and far above."""
    count = 40_000
    weight = torch.full((200, 200), 0.02).bfloat16()
    gradients = [torch.full_like(weight, value) for value in (1.0, -0.25, 0.5, 1.0)]
    parameter, optimizer = built(weight, STOCHASTIC)
    for step, gradient in enumerate(gradients, start=1):
        parameter.grad = gradient.clone()
        optimizer.update(rate, step)
    wanted = float(published(weight, gradients, rate)[0, 0])
    spread = float(parameter.detach().double().std())
    error = float(parameter.detach().double().mean()) - wanted
    moved = wanted - float(weight[0, 0])
    # moments in bfloat16 add a part in a thousand to what chance does
    assert abs(error) < SIGMAS * spread / math.sqrt(count) + 2e-3 * abs(moved)


def test_many_small_updates_arrive_and_to_the_nearest_none_does() -> None:
    rate, steps = 2e-6, 400
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0})
    arrived = {}
    for precision in (STOCHASTIC, BFLOAT16):
        parameter, optimizer = built(torch.full((30, 40), 0.02), precision, settings=settings)
        for step in range(1, steps + 1):
            parameter.grad = torch.ones_like(parameter)
            optimizer.update(rate, step)
        moved = parameter.detach().double().mean() - torch.tensor(0.02).bfloat16().double()
        arrived[precision.name] = float(moved) / (-rate * steps)
    # each weight ends 6 of its neighbours on, give or take sqrt(6): 1,200 of them average that
    assert arrived["stochastic"] == pytest.approx(1.0, abs=SIGMAS * math.sqrt(1 / 6 / 1200))
    assert arrived["bfloat16"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "follows"), [(STOCHASTIC, True), (BFLOAT16, False)])
def test_a_slow_second_moment_follows_only_where_it_is_rounded_at_random(
    precision: Precision, follows: bool
) -> None:
    """Of 1 / 500 of a difference, rounding to 8 bits to the nearest soon leaves nothing."""
    settings = SETTINGS.model_copy(update={"beta2": 0.998, "clip_norm": 1e9})
    parameter, optimizer = built(drawn(30, 30), precision, settings=settings)
    steps = 600
    for step in range(1, steps + 1):
        parameter.grad = torch.ones_like(parameter)
        optimizer.update(1e-6, step)
    second = optimizer.adamw.state[parameter]["exp_avg_sq"].double().mean()
    wanted = 1 - 0.998**steps
    assert (abs(float(second) - wanted) < 0.02 * wanted) == follows


def trained(parameter: nn.Parameter, optimizer: Optimizer, steps: range) -> Tensor:
    for step in steps:
        parameter.grad = drawn(*parameter.shape, seed=step)
        optimizer.update(1e-3, step)
    return parameter.detach().clone()


def test_roundings_follow_from_seed_step_and_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = drawn(70, 30, scale=0.02)
    first = trained(*built(weight, STOCHASTIC), range(1, 4))
    torch.manual_seed(99)
    monkeypatch.setitem(bfloat16_adamw._PIECE, "cpu", 97)
    assert torch.equal(trained(*built(weight, STOCHASTIC), range(1, 4)), first)
    assert not torch.equal(trained(*built(weight, STOCHASTIC, seed=1), range(1, 4)), first)
    other = nn.Parameter(weight.clone())
    named = build_optimizer([("other", other)], SETTINGS, precision=STOCHASTIC)
    assert not torch.equal(trained(other, named, range(1, 4)), first)


def test_the_step_of_the_run_goes_on_where_moments_begin_anew() -> None:
    weight, gradient = drawn(40, 30, scale=0.02), drawn(40, 30, seed=1)
    rounded = []
    for step in (1, 7):
        parameter, optimizer = built(weight, STOCHASTIC)
        parameter.grad = gradient.clone()
        optimizer.update(1e-3, step)
        rounded.append(parameter.detach())
    assert not torch.equal(*rounded)


@pytest.mark.parametrize("moments", [torch.bfloat16, torch.float32])
def test_a_restored_optimizer_goes_on_to_the_last_bit(moments: torch.dtype) -> None:
    precision = replace(STOCHASTIC, moments=moments)
    weight = drawn(50, 20, scale=0.02)
    untouched = trained(*built(weight, precision), range(1, 9))
    parameter, optimizer = built(weight, precision)
    trained(parameter, optimizer, range(1, 5))
    kept = {name: tensor.clone() for name, tensor in optimizer.tensors().items()}
    assert {name: tensor.dtype for name, tensor in kept.items()} == {
        "weight.step": torch.float32,
        "weight.exp_avg": moments,
        "weight.exp_avg_sq": moments,
    }
    again, other = built(parameter.detach(), precision)
    other.restore(kept)
    assert torch.equal(trained(again, other, range(5, 9)), untouched)


def test_gradients_that_are_no_numbers_are_not_hidden() -> None:
    parameter, optimizer = built(drawn(4, 4), STOCHASTIC)
    parameter.grad = torch.full_like(parameter, float("nan"))
    assert math.isnan(optimizer.update(1e-3))
    assert bool(parameter.isnan().all())


def test_copies_of_weights_are_told_that_they_changed() -> None:
    parameter, optimizer = built(drawn(4, 4), STOCHASTIC)
    before = parameter._version
    parameter.grad = torch.ones_like(parameter)
    optimizer.update(1e-3)
    assert parameter._version > before
    assert parameter.grad is None


def shares(precision: Precision, rate: float) -> float | None:
    settings = SETTINGS.model_copy(update={"weight_decay": 0.0})
    parameter, optimizer = built(drawn(40, 40, scale=0.02), precision, settings=settings)
    probe = UpdateProbe(optimizer.adamw).attach()
    for step in (1, 2):
        parameter.grad = drawn(40, 40, seed=step).to(parameter.dtype)
        probe.arm(step)
        optimizer.update(rate, step)
    return probe.share()


def test_the_watchdog_sees_what_is_swallowed_and_not_what_chance_leaves() -> None:
    assert shares(BFLOAT16, 1e-6) > 0.8
    assert shares(STOCHASTIC, 1e-6) == 0
    assert shares(FLOAT32, 1e-6) == 0
    # float32, in which the update is computed, cannot tell 0.02 from itself less 1e-12
    assert shares(STOCHASTIC, 1e-12) > 0.8


def test_on_cpu_and_where_the_kernel_fails_plain_operations_do_it() -> None:
    assert choose_update(torch.device("cpu")).update is bfloat16_adamw.update_in_pieces
    choice = choose_update(torch.device("cuda"), lambda _: "fails here (no compiler)")
    assert choice.update is bfloat16_adamw.update_in_pieces
    assert "fails here (no compiler)" in choice.reason


def test_there_is_no_closure() -> None:
    _, optimizer = built(drawn(4, 4), STOCHASTIC)
    assert isinstance(optimizer.adamw, Bfloat16AdamW)
    with pytest.raises(ValueError, match="no closure"):
        optimizer.adamw.step(lambda: 0.0)
