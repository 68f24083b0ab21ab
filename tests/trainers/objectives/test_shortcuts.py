"""What need not be computed: the same gradient without it, at 1e-10."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.methods import LengthNormalization, LossType
from tests.trainers.objectives.parts import close, fresh, in_parts, make_loss, statistics, whole
from tests.trainers.objectives.reference import normal
from trainers.objectives import token_weights, zero_advantage_is_idle

COUNTS, SEEDS = st.integers(1, 12), st.integers(0, 10_000)


@pytest.mark.parametrize("kind", [kind for kind in LossType if zero_advantage_is_idle(kind, 0.0)])
@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=2, max_size=7), SEEDS)
def test_responses_without_advantage_can_be_left_out(
    kind: LossType, responses: list[tuple[int, bool]], seed: int
) -> None:
    lengths = torch.tensor([length for length, _ in responses])
    useful = torch.tensor([useful for _, useful in responses])
    advantages = (normal(len(responses), seed=seed) * useful).repeat_interleave(lengths)
    weights = token_weights(lengths.tolist(), LengthNormalization.TOKEN_MEAN)
    count = int(lengths.sum())
    loss = replace(
        make_loss(kind, count, seed),
        advantages=advantages,
        weights=torch.tensor(weights, dtype=torch.float64).repeat_interleave(lengths),
    )
    log_probs = normal(count, seed=seed + 9)
    expected, expected_slopes = whole(fresh(loss), log_probs)
    kept = torch.nonzero(useful.repeat_interleave(lengths)).squeeze(1)
    value, slopes = in_parts(loss, log_probs, [kept])
    assert close(value, expected)
    assert close(slopes, expected_slopes)


@pytest.mark.parametrize(("kind", "kl"), [(LossType.GRPO_CLIP, 0.1), (LossType.NO_BASELINE, 0.0)])
def test_what_is_not_idle_moves_the_policy_without_any_advantage(kind: LossType, kl: float) -> None:
    assert not zero_advantage_is_idle(kind, kl)
    # equal rewards have no advantage, but no_baseline learns from them all the same
    factors = torch.ones(4) if kind is LossType.NO_BASELINE else torch.zeros(4)
    loss = replace(make_loss(kind, 4, seed=1, kl=kl), advantages=factors.double())
    _, slopes = whole(loss, normal(4, seed=2))
    assert slopes.abs().min() > 1e-3


@pytest.mark.parametrize("kind", LossType)
@settings(max_examples=20, deadline=None)
@given(COUNTS, SEEDS, st.sampled_from([0.0, 0.5]))
def test_on_policy_old_log_probs_change_nothing(
    kind: LossType, count: int, seed: int, kl: float
) -> None:
    log_probs = normal(count, seed=seed)
    given_them = replace(make_loss(kind, count, seed, kl=kl), old_log_probs=log_probs)
    without = replace(given_them, old_log_probs=None)
    expected, expected_slopes = whole(given_them, log_probs)
    value, slopes = whole(without, log_probs)
    assert close(value, expected)
    assert close(slopes, expected_slopes)
    assert statistics(without) == pytest.approx(statistics(given_them), abs=1e-10)
    assert (without.clipped, without.ratio_max) == (0, 1.0)


def test_on_policy_every_baseline_loss_has_the_same_slopes() -> None:
    kinds = [kind for kind in LossType if kind is not LossType.NO_BASELINE]
    losses = [replace(make_loss(kind, 5, seed=3), old_log_probs=None) for kind in kinds]
    first, *others = (whole(loss, normal(5, seed=4))[1] for loss in losses)
    assert all(close(slopes, first) for slopes in others)
