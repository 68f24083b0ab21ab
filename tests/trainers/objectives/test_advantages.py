"""Advantages: rewards against the mean and the spread of their group."""

import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.methods import LossType
from trainers.objectives import (
    compute_group_normalized_rewards,
    group_advantages,
    zero_advantage_is_idle,
)

REWARDS = st.integers(-1000, 1000).map(lambda hundredths: hundredths / 100)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6).flatmap(lambda g: st.lists(st.lists(REWARDS, min_size=g, max_size=g))))
def test_advantages_equal_the_definition_with_torchs_standard_deviation(
    groups: list[list[float]],
) -> None:
    size = len(groups[0]) if groups else 2
    rewards = [reward for group in groups for reward in group]
    centred = group_advantages(rewards, size, 1e-6, normalize_by_std=False)
    scaled = group_advantages(rewards, size, 1e-6, normalize_by_std=True)
    for start, group in zip(range(0, len(rewards), size), groups, strict=True):
        tensor = torch.tensor(group, dtype=torch.float64)
        deviations = tensor - tensor.mean()
        # a standard deviation of rounding errors is no longer what the definition means
        scale = tensor.std() + 1e-6 if len(set(group)) > 1 else 1.0
        assert centred[start : start + size] == pytest.approx(deviations.tolist(), abs=1e-10)
        assert scaled[start : start + size] == pytest.approx(
            (deviations / scale).tolist(), abs=1e-10, rel=1e-10
        )


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 1 / 3, -0.05])
def test_a_group_of_equal_rewards_has_advantages_of_exactly_zero(
    reward: float, normalize: bool
) -> None:
    # the mean of three times 0.1 is not 0.1
    assert group_advantages([reward] * 3, 3, 1e-6, normalize) == [0.0] * 3


@pytest.mark.parametrize("normalize", [True, False])
def test_a_group_of_one_has_no_advantage(normalize: bool) -> None:
    assert group_advantages([1.0, 0.0], 1, 1e-6, normalize) == [0.0, 0.0]


@pytest.mark.parametrize(("count", "size"), [(5, 2), (1, 2), (4, 0)])
def test_rewards_that_are_not_whole_groups_are_refused(count: int, size: int) -> None:
    with pytest.raises(ValueError, match="not whole groups"):
        group_advantages([0.0] * count, size, 1e-6, True)


def score(response: str, truth: str) -> dict[str, float]:
    right = float(response == truth)
    return {"reward": right, "format_reward": 1.0, "answer_reward": right}


def test_responses_are_scored_in_order_and_compared_with_their_group() -> None:
    responses, truths = ["1", "2", "9", "9"], ["1", "1", "7", "7"]
    advantages, rewards, metadata = compute_group_normalized_rewards(
        score, responses, truths, group_size=2, advantage_eps=1e-6, normalize_by_std=True
    )
    half = 0.5 / (statistics.stdev([1.0, 0.0]) + 1e-6)
    assert rewards.tolist() == [1.0, 0.0, 0.0, 0.0]
    assert advantages.tolist() == pytest.approx([half, -half, 0.0, 0.0])
    assert advantages.shape == rewards.shape == (4,)
    assert metadata == {
        "reward_mean": 0.25,
        "format_reward_mean": 1.0,
        "answer_reward_mean": 0.25,
        "reward_std": statistics.stdev([1.0, 0.0, 0.0, 0.0]),
        "reward_min": 0.0,
        "reward_max": 1.0,
        "zero_advantage_share": 0.5,
    }


def test_a_truth_is_needed_for_every_response() -> None:
    with pytest.raises(ValueError, match="shorter"):
        compute_group_normalized_rewards(score, ["1", "2"], ["1"], 1, 1e-6, True)


def test_zero_advantage_is_idle_only_without_kl_and_with_a_baseline() -> None:
    idle = {kind: zero_advantage_is_idle(kind, kl=0.0) for kind in LossType}
    assert idle == {kind: kind is not LossType.NO_BASELINE for kind in LossType}
    assert not any(zero_advantage_is_idle(kind, kl=1e-3) for kind in LossType)
