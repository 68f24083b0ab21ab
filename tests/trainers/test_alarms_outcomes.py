"""Alarms about what is right: sure where it falls, silent where few problems only look so."""

import random

import pytest

from core.config.schema import TrainSettings
from tests.trainers.handmade_courses import HEALTHY, fired
from trainers.alarms import MetricHistory, StepView
from trainers.alarms_rollouts import independent
from trainers.watchdog import Watchdog


def test_right_answers_that_fall_while_the_format_holds_are_an_alarm() -> None:
    rising, broken = [0.85, 0.9, 0.95, *[1.0] * 7], [0.7, 0.65, *[0.6] * 8]
    falling = [0.4, 0.3, 0.2, *[0.1] * 7]
    assert fired(formatted_share=rising, right_share=falling)["format_hacked"] <= 8
    assert "format_hacked" in fired(right_share=falling)
    assert "format_hacked" not in fired(formatted_share=broken, right_share=falling)
    assert fired(formatted_share=rising) == {}


def test_right_answers_that_fall_from_the_first_batch_on_are_an_alarm() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    many = {**HEALTHY, "problems": 24.0, "rollouts": 96.0}
    shares = [0.4, 0.11, 0.08, 0.09, 0.05, 0.03, 0.03, 0.03]
    found = [
        (alarm.rule.name, alarm.step)
        for step, share in enumerate(shares, 1)
        for alarm in watchdog.step(step, {**many, "right_share": share})
    ]
    assert found[0] == ("format_hacked", 6)


def test_a_fall_that_so_few_problems_cannot_show_is_silent() -> None:
    formatted, falling = [1.0] * 8, [0.1] * 8
    assert fired(formatted_share=formatted, right_share=falling, problems=[4.0]) == {}


def test_a_learning_rate_that_destroys_the_policy_at_once_is_told_by_its_first_batches() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    shares = [0.5, *[0.0] * 9]
    names = {
        alarm.rule.name: alarm.step
        for step, share in enumerate(shares, 1)
        for alarm in watchdog.step(
            step, {**HEALTHY, "right_share": share, "formatted_share": 0.8 if step == 1 else 0.6}
        )
    }
    assert names == {"reward_lost": 4}


def test_a_weak_start_is_no_loss() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    weak = {**HEALTHY, "right_share": 0.02}
    lucky = {**HEALTHY, "right_share": 0.1}
    courses = [weak, lucky, *[weak] * 40]
    assert [a for step, m in enumerate(courses, 1) for a in watchdog.step(step, m)] == []


def healthy_course(seed: int, problems: int, start: float, end: float) -> list[dict[str, float]]:
    """A run that learns: groups of 8 to problems that are mostly solved or mostly not."""
    generator = random.Random(seed)
    courses = []
    for step in range(150):
        done = min(1.0, step / 90)
        share = start + (end - start) * done
        groups = []
        for _ in range(problems):
            chance = generator.betavariate(share / 2, (1 - share) / 2)
            groups.append([generator.random() < chance for _ in range(8)])
        solved = sum(map(sum, groups)) / (8 * problems)
        courses.append(
            {
                **HEALTHY,
                "rollouts": 8.0 * problems,
                "problems": float(problems),
                "right_share": solved,
                "formatted_share": solved + (1 - solved) * (0.5 + 0.45 * done),
                "truncated_share": (1 - solved) * 0.3 * generator.random(),
                "zero_advantage_share": sum(len(set(group)) == 1 for group in groups) / problems,
                "rollout_entropy": 0.5 * (1 - 0.8 * done) * generator.uniform(0.8, 1.25),
                "engine_gap": 0.01 * generator.uniform(0.5, 2),
            }
        )
    return courses


@pytest.mark.parametrize("problems", [8, 32])
@pytest.mark.parametrize(("start", "end"), [(0.1, 0.6), (0.5, 0.5), (0.5, 0.85)])
def test_healthy_courses_are_silent(problems: int, start: float, end: float) -> None:
    for seed in range(4):
        watchdog = Watchdog(TrainSettings(), 1000)
        courses = healthy_course(seed, problems, start, end)
        alarms = [a for step, m in enumerate(courses, 1) for a in watchdog.step(step, m)]
        assert [alarm.measured.text for alarm in alarms] == []


@pytest.mark.parametrize(
    ("rollouts", "problems", "cases"),
    [(64, 64, 64), (64, 16, 64 / 3.1), (9, 1, 9 / 6.6), (0, 0, 1)],
)
def test_siblings_count_as_much_alike(rollouts: float, problems: float, cases: float) -> None:
    history = {name: MetricHistory() for name in ("rollouts", "problems")}
    history["rollouts"].add(1, rollouts)
    history["problems"].add(1, problems)
    assert independent(StepView(history, TrainSettings())) == pytest.approx(cases)
