"""Policy gradients of padded batches: values and slopes against plain loops, at 1e-10."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.methods import LossType
from tests.trainers.objectives.reference import (
    Token,
    is_clipped,
    normal,
    policy_gradient,
    random_mask,
)
from trainers.objectives import (
    compute_grpo_clip_loss,
    compute_naive_policy_gradient_loss,
    compute_policy_gradient_loss,
    grpo_microbatch_train_step,
)

SHAPES = (st.integers(1, 4), st.integers(1, 6), st.integers(0, 10_000))
RANGES = (st.floats(0.05, 0.5), st.floats(0.05, 0.8))


def loss_of(
    kind: LossType, policy: torch.Tensor, factors: torch.Tensor, old: torch.Tensor, low: float
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    raw, advantages = (factors, None) if kind is LossType.NO_BASELINE else (None, factors)
    return compute_policy_gradient_loss(
        policy, kind.value, raw, advantages, old, low, cliprange_high=2 * low
    )


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=30, deadline=None)
@given(*SHAPES, RANGES[0])
def test_every_loss_and_slope_equals_plain_loops(
    kind: LossType, rows: int, width: int, seed: int, low: float
) -> None:
    policy = normal(rows, width, seed=seed).requires_grad_()
    old, factors = normal(rows, width, seed=seed + 1), normal(rows, 1, seed=seed + 2)
    found, metadata = loss_of(kind, policy, factors, old, low)
    (slopes,) = torch.autograd.grad(found.sum(), policy)
    assert found.shape == policy.shape
    assert set(metadata) == ({"clipped"} if kind is LossType.GRPO_CLIP else set())
    for b in range(rows):
        for t in range(width):
            token = Token(policy[b, t].item(), factors[b, 0].item(), old=old[b, t].item())
            value, slope = policy_gradient(kind, token, low, 2 * low, kl=0.0)
            assert found[b, t].item() == pytest.approx(value, abs=1e-10)
            assert slopes[b, t].item() == pytest.approx(slope, abs=1e-10)
            if metadata:
                assert metadata["clipped"][b, t].item() is is_clipped(token, low, 2 * low)


def test_one_range_holds_on_both_sides_unless_the_upper_one_is_given() -> None:
    ratios = torch.tensor([[0.5, 1.25, 1.5]], dtype=torch.float64)
    old, up = torch.zeros(1, 3, dtype=torch.float64), torch.ones(1, 1, dtype=torch.float64)
    loss, metadata = compute_grpo_clip_loss(up, ratios.log(), old, 0.2)
    assert loss[0].tolist() == pytest.approx([-0.5, -1.2, -1.2])
    assert metadata["clipped"].tolist() == [[False, True, True]]
    loss, metadata = compute_grpo_clip_loss(up, ratios.log(), old, 0.2, cliprange_high=0.28)
    assert loss[0].tolist() == pytest.approx([-0.5, -1.25, -1.28])
    assert metadata["clipped"].tolist() == [[False, False, True]]
    loss, metadata = compute_grpo_clip_loss(-up, ratios.log(), old, 0.2, cliprange_high=0.28)
    assert loss[0].tolist() == pytest.approx([0.8, 1.25, 1.5])
    assert metadata["clipped"].tolist() == [[True, False, False]]


@pytest.mark.parametrize("advantage", [1.0, 0.0])
def test_a_ratio_that_overflows_has_no_slope_where_it_is_clipped_or_worth_nothing(
    advantage: float,
) -> None:
    policy = torch.tensor([[0.0]], dtype=torch.float64, requires_grad=True)
    old = torch.tensor([[-800.0]], dtype=torch.float64)
    factors = torch.tensor([[advantage]], dtype=torch.float64)
    loss, _ = compute_grpo_clip_loss(factors, policy, old, 0.2)
    (slope,) = torch.autograd.grad(loss.sum(), policy)
    assert loss.item() == pytest.approx(-1.2 * advantage)
    assert slope.item() == 0.0


def test_rewards_have_no_slope() -> None:
    rewards = torch.ones(2, 1)
    loss = compute_naive_policy_gradient_loss(rewards, -torch.ones(2, 3))
    assert torch.equal(loss, torch.ones(2, 3))
    assert not loss.requires_grad


@pytest.mark.parametrize(
    ("kind", "missing"),
    [
        ("no_baseline", "raw_rewards"),
        ("reinforce_with_baseline", "advantages"),
        ("grpo_no_clip", "advantages and old_log_probs"),
        ("grpo_clip", "advantages and old_log_probs and cliprange"),
    ],
)
def test_a_loss_says_what_it_misses(kind: str, missing: str) -> None:
    with pytest.raises(ValueError, match=f"the loss {kind} needs {missing}$"):
        compute_policy_gradient_loss(torch.zeros(1, 1), kind)


def test_an_unknown_loss_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'ppo' is none of no_baseline, reinforce"):
        compute_policy_gradient_loss(torch.zeros(1, 1), "ppo")


@pytest.mark.parametrize("kind", LossType)
@pytest.mark.parametrize("constant", [None, 7.0])
@settings(max_examples=20, deadline=None)
@given(*SHAPES, *RANGES, st.integers(1, 3))
def test_microbatch_step_averages_tokens_then_responses(
    kind: LossType,
    constant: float | None,
    rows: int,
    width: int,
    seed: int,
    low: float,
    high: float,
    accumulation: int,
) -> None:
    policy = normal(rows, width, seed=seed).requires_grad_()
    old, factors = normal(rows, width, seed=seed + 1), normal(rows, 1, seed=seed + 2)
    mask = random_mask(rows, width, seed)
    loss, metadata = grpo_microbatch_train_step(
        policy,
        mask,
        accumulation,
        kind,
        factors,
        factors,
        old,
        low,
        cliprange_high=high,
        normalize_constant=constant,
    )
    assert policy.grad is not None
    total, clipped = 0.0, 0
    for b in range(rows):
        length = constant or int(mask[b].sum())
        for t in range(width):
            weight = float(mask[b, t]) / (length * rows * accumulation)
            token = Token(policy[b, t].item(), factors[b, 0].item(), weight, old[b, t].item())
            value, slope = policy_gradient(kind, token, low, high, kl=0.0)
            total += value
            clipped += bool(mask[b, t]) and is_clipped(token, low, high)
            assert policy.grad[b, t].item() == pytest.approx(slope, abs=1e-10)
    assert loss.item() == pytest.approx(total, abs=1e-10)
    assert not loss.requires_grad
    assert metadata["response_tokens"].item() == mask.sum()
    if kind is LossType.GRPO_CLIP:
        expected = clipped / int(mask.sum())
        assert metadata["clip_fraction"].item() == pytest.approx(expected, abs=1e-12)


def test_slopes_add_up_over_microbatches_of_one_size() -> None:
    policy = normal(4, 5, seed=1).requires_grad_()
    old, factors, mask = normal(4, 5, seed=2), normal(4, 1, seed=3), random_mask(4, 5, 4)
    grpo_microbatch_train_step(policy, mask, 1, "grpo_clip", None, factors, old, 0.2)
    assert policy.grad is not None
    whole, policy.grad = policy.grad, None
    for part in (slice(0, 2), slice(2, 4)):
        grpo_microbatch_train_step(
            policy[part], mask[part], 2, "grpo_clip", None, factors[part], old[part], 0.2
        )
    assert torch.allclose(policy.grad, whole, rtol=0, atol=1e-12)
