"""Losses that may be taken in parts: against plain loops, and any parts against the whole."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from core.config.methods import LengthNormalization, LossType
from tests.trainers.objectives.parts import (
    close,
    fresh,
    in_parts,
    make_loss,
    random_parts,
    statistics,
    whole,
)
from tests.trainers.objectives.reference import (
    Token,
    is_clipped,
    normal,
    policy_gradient,
    random_mask,
)
from trainers.fast import head
from trainers.objectives import (
    PolicyGradientLoss,
    WeightedLogProbLoss,
    grpo_microbatch_train_step,
    token_weights,
)

COUNTS, SEEDS = st.integers(1, 12), st.integers(0, 10_000)


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=30, deadline=None)
@given(COUNTS, SEEDS, st.sampled_from([0.0, 0.5]))
def test_value_slopes_and_statistics_equal_plain_loops(
    kind: LossType, count: int, seed: int, kl: float
) -> None:
    loss, log_probs = make_loss(kind, count, seed, kl=kl), normal(count, seed=seed)
    value, slopes = whole(loss, log_probs)
    given_them = (loss.advantages, loss.weights, loss.old_log_probs)
    columns = (log_probs, *given_them, loss.reference_log_probs, loss.importance)
    tokens = [Token(*row) for row in torch.stack(columns, dim=1).tolist()]
    expected = [policy_gradient(kind, token, 0.2, 0.3, kl) for token in tokens]
    assert value.item() == pytest.approx(math.fsum(v for v, _ in expected), abs=1e-10)
    assert slopes.tolist() == pytest.approx([s for _, s in expected], abs=1e-10)
    clips = [is_clipped(token, 0.2, 0.3) for token in tokens]
    assert loss.clipped == (sum(clips) if kind is LossType.GRPO_CLIP else 0)
    assert loss.targets == count
    gaps = [token.reference - token.log_prob for token in tokens]
    k3 = math.fsum(math.exp(gap) - gap - 1 for gap in gaps)
    assert loss.kl_sum == pytest.approx(k3 if kl else 0.0, abs=1e-10)
    ratios = [math.exp(token.log_prob - token.old) for token in tokens]
    assert loss.ratio_max == pytest.approx(max(ratios), abs=1e-10)


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=30, deadline=None)
@given(COUNTS, SEEDS, st.sampled_from([0.0, 0.5]))
def test_any_parts_in_any_order_add_up_to_the_whole(
    kind: LossType, count: int, seed: int, kl: float
) -> None:
    loss, log_probs = make_loss(kind, count, seed, kl=kl), normal(count, seed=seed)
    parts = fresh(loss)
    value, slopes = in_parts(parts, log_probs, random_parts(count, seed))
    expected, expected_slopes = whole(loss, log_probs)
    assert close(value, expected)
    assert close(slopes, expected_slopes)
    assert statistics(parts) == pytest.approx(statistics(loss), abs=1e-10)


@pytest.mark.parametrize("kind", LossType)
@pytest.mark.parametrize("normalization", LengthNormalization)
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), SEEDS)
def test_parts_of_unequal_responses_equal_the_naive_padded_whole(
    kind: LossType, normalization: LengthNormalization, rows: int, width: int, seed: int
) -> None:
    mask = random_mask(rows, width, seed)
    policy = normal(rows, width, seed=seed).requires_grad_()
    old, factors = normal(rows, width, seed=seed + 1), normal(rows, 1, seed=seed + 2)
    lengths = mask.sum(dim=1)
    constant = {LengthNormalization.SEQUENCE_MEAN: None, LengthNormalization.CONSTANT: 9.0}
    # with this constant the mean over responses is the mean over all their tokens
    divisor = constant.get(normalization, float(lengths.sum()) / rows)
    expected, _ = grpo_microbatch_train_step(
        policy, mask, 1, kind, factors, factors, old, 0.2, normalize_constant=divisor
    )
    weights = token_weights(lengths.tolist(), normalization, constant=9.0)
    loss = PolicyGradientLoss(
        kind,
        advantages=factors.expand(rows, width)[mask],
        weights=torch.tensor(weights, dtype=torch.float64).repeat_interleave(lengths),
        old_log_probs=old[mask],
        clip_low=0.2,
        clip_high=0.2,
    )
    parts = random_parts(int(mask.sum()), seed)
    value, slopes = in_parts(loss, policy.detach()[mask], parts)
    assert policy.grad is not None
    assert close(value, expected)
    assert close(slopes, policy.grad[mask])
    assert torch.count_nonzero(policy.grad[~mask]) == 0


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), SEEDS, st.integers(1, 3))
def test_microbatches_of_any_responses_in_any_chunks_add_up_to_the_whole(
    kind: LossType, lengths: list[int], seed: int, microbatches: int
) -> None:
    weights = token_weights(lengths, LengthNormalization.SEQUENCE_MEAN)
    count, repeats = sum(lengths), torch.tensor(lengths)
    loss = replace(
        make_loss(kind, count, seed, kl=0.5),
        weights=torch.tensor(weights, dtype=torch.float64).repeat_interleave(repeats),
    )
    log_probs = normal(count, seed=seed + 9)
    expected, expected_slopes = whole(fresh(loss), log_probs)
    owners = torch.randint(
        0, microbatches, (len(lengths),), generator=torch.Generator().manual_seed(seed)
    )
    value, slopes = torch.zeros((), dtype=torch.float64), torch.zeros_like(log_probs)
    for number in range(microbatches):
        mine = torch.nonzero(owners.repeat_interleave(repeats) == number).squeeze(1)
        tensors = ("advantages", "weights", "old_log_probs", "reference_log_probs", "importance")
        part = replace(loss, **{name: getattr(loss, name)[mine] for name in tensors})
        chunks = random_parts(len(mine), seed + number)
        part_value, slopes[mine] = in_parts(part, log_probs[mine], chunks)
        value += part_value
    assert close(value, expected)
    assert close(slopes, expected_slopes)


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=10, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), SEEDS)
def test_through_the_chunked_head_equals_autograd_over_full_logits(
    kind: LossType, count: int, rows: int, seed: int
) -> None:
    # small logits: 1e-10 of a k3 that explodes is below what float64 resolves
    hidden, table = normal(count, 4, seed=seed, spread=0.5), normal(6, 4, seed=seed + 1, spread=0.5)
    labels = torch.randint(0, 6, (count,), generator=torch.Generator().manual_seed(seed))
    loss = make_loss(kind, count, seed, kl=0.1)
    leaf, naive_table = hidden.clone().requires_grad_(), table.clone().requires_grad_()
    logits = leaf @ naive_table.T
    log_probs = (logits.exp() / logits.exp().sum(dim=1, keepdim=True)).log()
    expected = fresh(loss)(log_probs[torch.arange(count), labels], torch.arange(count))
    expected.backward()
    parameter = nn.Parameter(table)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head, "chunk_rows", lambda _: rows)
        value, _, gradient = head.project_with_gradients(hidden, table, labels, parameter, loss)
    assert leaf.grad is not None
    assert naive_table.grad is not None
    assert parameter.grad is not None
    assert close(value, expected.detach())
    assert close(gradient, leaf.grad)
    assert close(parameter.grad, naive_table.grad)


@pytest.mark.parametrize("kind", LossType)
def test_targets_of_weight_zero_count_nowhere_even_if_not_finite(kind: LossType) -> None:
    loss = make_loss(kind, 4, seed=5, kl=0.1)
    loss.weights[1] = 0.0
    log_probs = normal(4, seed=6)
    log_probs[1] = -torch.inf
    value, slopes = whole(loss, log_probs)
    rest = fresh(loss)
    expected, expected_slopes = in_parts(rest, log_probs, [torch.tensor([0, 2, 3])])
    assert close(value, expected)
    assert close(slopes, expected_slopes)
    assert statistics(loss) == pytest.approx(statistics(rest))
    assert loss.targets == 3


def test_a_part_without_targets_is_zero() -> None:
    loss = make_loss(LossType.GRPO_CLIP, 3, seed=1, kl=0.1)
    assert loss(torch.zeros(0), torch.zeros(0, dtype=torch.int64)).item() == 0.0
    assert statistics(loss) == (0, 0, 0.0, 0.0)


def test_the_loss_is_as_precise_as_the_log_probs_and_at_least_float32() -> None:
    loss, places = make_loss(LossType.GRPO_CLIP, 3, seed=1), torch.arange(3)
    assert loss(torch.zeros(3, dtype=torch.float32), places).dtype is torch.float32
    assert loss(torch.zeros(3, dtype=torch.bfloat16), places).dtype is torch.float32
    assert loss(torch.zeros(3, dtype=torch.float64), places).dtype is torch.float64


def test_kl_without_a_reference_is_refused() -> None:
    one = torch.ones(1)
    with pytest.raises(ValueError, match="reference policy"):
        PolicyGradientLoss(LossType.GRPO_CLIP, one, one, None, 0.2, 0.2, kl=0.1)


@settings(max_examples=20, deadline=None)
@given(COUNTS, SEEDS)
def test_weighted_log_probs_in_parts_equal_plain_loops(count: int, seed: int) -> None:
    loss = WeightedLogProbLoss(normal(count, seed=seed))
    log_probs = normal(count, seed=seed + 1)
    parts = [loss(log_probs[places], places) for places in random_parts(count, seed)]
    pairs = zip(loss.weights.tolist(), log_probs.tolist(), strict=True)
    expected = -math.fsum(weight * log_prob for weight, log_prob in pairs)
    assert sum(part.item() for part in parts) == pytest.approx(expected, abs=1e-10)
    leaf = log_probs.requires_grad_()
    (slopes,) = torch.autograd.grad(loss(leaf, torch.arange(count)), leaf)
    assert close(slopes, -loss.weights)
