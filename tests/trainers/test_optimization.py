"""Schedules by hand, and AdamW against the published update rule."""

import itertools
import math

import pytest
import torch

from core.config.schema import Schedule, TrainSettings
from trainers.optimization import LearningRate, build_optimizer


def rates(schedule: Schedule, total: int = 100, warmup: float = 0.05) -> list[float]:
    rate = LearningRate(2.0, schedule, warmup, 0.1, total)
    return [rate.at(step) for step in range(1, total + 1)]


@pytest.mark.parametrize("schedule", list(Schedule))
def test_warmup_rises_linearly_to_the_peak(schedule: Schedule) -> None:
    assert rates(schedule)[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])


def test_constant_stays_at_the_peak() -> None:
    assert set(rates(Schedule.CONSTANT)[4:]) == {2.0}


@pytest.mark.parametrize("schedule", [Schedule.LINEAR, Schedule.COSINE])
def test_decay_ends_at_the_floor_and_never_rises(schedule: Schedule) -> None:
    values = rates(schedule)[4:]
    assert values[-1] == pytest.approx(0.2)
    assert all(later <= earlier for earlier, later in itertools.pairwise(values))


def test_cosine_is_half_way_in_the_middle() -> None:
    rate = LearningRate(1.0, Schedule.COSINE, 0.0, 0.0, 100)
    assert rate.at(50) == pytest.approx(0.5)


def test_a_run_of_one_step_has_a_learning_rate() -> None:
    assert LearningRate(1.0, Schedule.COSINE, 0.05, 0.1, 1).at(1) == 1.0


def test_adamw_follows_the_published_rule_and_clips() -> None:
    weight = torch.nn.Parameter(torch.tensor([[3.0, -2.0]]))
    settings = TrainSettings(lr=0.1, weight_decay=0.5, clip_norm=1.0)
    optimizer = build_optimizer([("weight", weight)], settings)
    weight.grad = torch.tensor([[3.0, 4.0]])
    norm = optimizer.update(0.1)
    assert norm == pytest.approx(5.0)
    for index, (start, gradient) in enumerate(((3.0, 0.6), (-2.0, 0.8))):
        update = gradient / (math.sqrt(gradient**2) + 1e-8)
        expected = start * (1 - 0.1 * 0.5) - 0.1 * update
        assert weight[0, index].item() == pytest.approx(expected, rel=1e-5)
    assert weight.grad is None


def test_vectors_are_not_decayed() -> None:
    vector = torch.nn.Parameter(torch.tensor([4.0]))
    optimizer = build_optimizer([("norm", vector)], TrainSettings(lr=0.1, weight_decay=0.9))
    vector.grad = torch.zeros(1)
    optimizer.update(0.1)
    assert vector.item() == 4.0
