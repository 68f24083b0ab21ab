"""What GRPO learns from a batch: rewards, advantages, who learns when, and with which weight."""

from dataclasses import replace
from typing import Any

import pytest

from core.config.methods import GrpoSettings
from core.engines.base import FinishReason
from core.rollouts import RolloutBatch
from tests.rollouts import batch, right
from trainers.grpo import score
from trainers.grpo_batch import ScoredBatch
from trainers.grpo_source import Sampled

WRONG = " so it is 7 </think> <answer> 7 </answer>"
# four groups of four: mixed, all right, all wrong, mixed; response k of a group has 7 + k tokens
MIXED = batch(
    [[right(42), WRONG, WRONG, WRONG], [right(42)] * 4, [WRONG] * 4, [right(42)] * 3 + [WRONG]]
)
CAP = 20


def scored(sampled: RolloutBatch = MIXED, **settings: Any) -> ScoredBatch:
    settings = {"rollout_batch": len(sampled.rollouts), **settings}
    return score(Sampled(sampled), GrpoSettings(**settings), CAP)


def cut(sampled: RolloutBatch, row: int) -> RolloutBatch:
    """The same batch with one response cut by the cap."""
    rollouts = list(sampled.rollouts)
    response = replace(rollouts[row].response, finish=FinishReason.LENGTH)
    rollouts[row] = replace(rollouts[row], response=response)
    return replace(sampled, rollouts=tuple(rollouts))


def test_advantages_are_rewards_relative_to_their_group() -> None:
    found = scored(std_normalization=False).advantages
    assert found == pytest.approx([0.75, -0.25, -0.25, -0.25, *[0] * 8, *[0.25] * 3, -0.75])
    assert scored(loss="no_baseline").advantages == (1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 0)


def test_figures_name_every_part_of_the_reward() -> None:
    figures = scored(reward={"answer": 1, "length": -0.5}, overlong_buffer=11).figures
    assert figures["reward_answer"] == pytest.approx(8 / 16)
    assert figures["reward_length"] == pytest.approx(8.5 / CAP)
    assert figures["reward_overlong"] == pytest.approx(-(1 / 11) / 4)
    total = 8 / 16 - 0.5 * 8.5 / CAP - (1 / 11) / 4
    assert figures["reward"] == pytest.approx(total)
    assert scored().figures["zero_advantage_share"] == 0.5
    assert scored(std_normalization=False).figures["advantage_std"] == pytest.approx(
        (2 * (0.75**2 + 3 * 0.25**2) / 16) ** 0.5
    )
    assert figures["generate_seconds"] == 1.5


def test_every_response_learns_once_in_every_pass_over_a_batch() -> None:
    found = scored(train_batch=4, epochs_per_rollout=3)
    assert found.settings.updates_per_rollout == 12
    passes = [
        [found.learning(step, 0).rows for step in range(1 + 4 * e, 5 + 4 * e)] for e in range(3)
    ]
    for rows in passes:
        assert sorted(row for part in rows for row in part) == list(range(16))
    assert passes[0] != passes[1] != passes[2], "each pass has its own order"
    assert passes[0] == [found.learning(step, 0).rows for step in range(1, 5)]
    assert passes[0] != [found.learning(step, 1).rows for step in range(1, 5)], "the seed decides"


def test_a_batch_serves_its_own_steps_only() -> None:
    second = scored(replace(MIXED, number=1, first_step=5), train_batch=4)
    assert [step for step in range(1, 14) if second.serves(step)] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("normalization", "first"),
    [("sequence_mean", 1 / (16 * 7)), ("constant", 1 / (16 * CAP)), ("token_mean", 1 / (16 * 8.5))],
)
def test_skipped_responses_count_in_the_denominators(normalization: str, first: float) -> None:
    for skip in (True, False):
        learning = scored(length_normalization=normalization, skip_zero_advantage=skip).learning(
            1, 0
        )
        assert learning.weights[0] == pytest.approx(first)
        assert learning.computed == ((0, 1, 2, 3, 12, 13, 14, 15) if skip else tuple(range(16)))


@pytest.mark.parametrize("settings", [{"kl": 0.1}, {"loss": "no_baseline"}])
def test_nothing_is_skipped_where_a_zero_advantage_still_has_a_gradient(settings: dict) -> None:
    assert scored(**settings).computed == tuple(range(16))


def test_masked_responses_count_nowhere_but_in_their_group() -> None:
    found = scored(cut(MIXED, 0), mask_truncated=True, length_normalization="token_mean")
    learning = found.learning(1, 0)
    assert 0 in learning.rows
    assert 0 not in learning.weights
    assert 0 not in learning.computed
    assert learning.weights[1] == pytest.approx(1 / (16 * 8.5 - 7))
    assert found.advantages == scored().advantages
    assert 0 in scored(cut(MIXED, 0)).learning(1, 0).computed


def test_a_constant_of_its_own_replaces_the_cap() -> None:
    learning = scored(length_normalization="constant", normalize_constant=100).learning(1, 0)
    assert learning.weights[3] == pytest.approx(1 / 1600)
