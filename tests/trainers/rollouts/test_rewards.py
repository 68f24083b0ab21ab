"""Rewards are weighted sums of parts that say what they are."""

import pytest

from core.config.methods import GrpoSettings
from core.data.problem import Problem
from core.rollouts import Rollout
from tests.rollouts import right, rollout
from trainers.rollouts import example_of, reward_parts, total_rewards
from trainers.rollouts.rewards import overlong_penalty

PROBLEM = Problem("q", "Question?", "42")
RIGHT = rollout(right(42), PROBLEM, tokens=10)
WRONG = rollout(right(7), PROBLEM, tokens=20)
UNCLOSED = rollout(" hm </think> <answer> 42", PROBLEM, tokens=40)
NO_FORMAT = rollout("<answer> 42 </answer>", PROBLEM, tokens=5)
ALL = [RIGHT, WRONG, UNCLOSED, NO_FORMAT]


def settings(**changes: object) -> GrpoSettings:
    return GrpoSettings.model_validate(changes)


def test_the_default_reward_is_the_binary_outcome() -> None:
    parts = reward_parts(ALL, settings(), 40)
    assert parts == {"answer": [1.0, 0.0, 0.0, 0.0]}
    assert total_rewards(parts, settings()) == [1.0, 0.0, 0.0, 0.0]


def test_every_part_is_weighted() -> None:
    chosen = settings(reward={"answer": 1, "format": 0.1, "length": -0.05, "closed": 0.2})
    parts = reward_parts(ALL, chosen, 40)
    assert parts["format"] == [1.0, 1.0, 0.0, 0.0]
    assert parts["length"] == [0.25, 0.5, 1.0, 0.125]
    assert parts["closed"] == [1.0, 1.0, 0.0, 1.0]
    expected = [1.3 - 0.0125, 0.3 - 0.025, -0.05, 0.2 - 0.00625]
    assert total_rewards(parts, chosen) == pytest.approx(expected, abs=1e-15)


def test_long_responses_lose_linearly_before_the_cap() -> None:
    lengths = [0, 60, 80, 81, 90, 99, 100]
    found = [overlong_penalty(length, 100, 20) for length in lengths]
    assert found == pytest.approx([0, 0, 0, -0.05, -0.5, -0.95, -1.0])


def test_overlong_is_a_part_of_its_own_and_counts_as_it_is() -> None:
    chosen = settings(reward={"answer": 2}, overlong_buffer=30)
    parts = reward_parts(ALL, chosen, 40)
    assert parts["overlong"] == pytest.approx([0, -1 / 3, -1, 0])
    assert total_rewards(parts, chosen) == pytest.approx([2, -1 / 3, -1, 0])


def test_no_rollouts_have_no_rewards() -> None:
    nobody: list[Rollout] = []
    assert total_rewards(reward_parts(nobody, settings(), 10), settings()) == []


def test_an_example_has_the_engines_tokens_and_supervises_the_response() -> None:
    example = example_of(RIGHT)
    assert example.token_ids == (*range(11), *range(100, 110))
    assert example.supervised == (*[False] * 11, *[True] * 10)
    assert (example.prompt_length, example.full_length, example.problem_id) == (11, 21, "q")
    assert (example.supervised_count, example.truncated) == (10, False)
