"""Alarms fire where something goes wrong, once, and stay silent on healthy courses."""

import json
import random

import pytest

from core.config.schema import TrainSettings
from core.evaluation import EvaluationResult
from tests.a5ctl.handmade import (
    STOP,
    Answer,
    bad_separator,
    cut,
    evaluation,
    right,
    wrong,
)
from trainers.evaluation_facts import facts_of_result
from trainers.observer import Severity
from trainers.watchdog import QUIET_STEPS, RULES, Watchdog


def watchdog(total: int = 1000, clip_norm: float = 1.0) -> Watchdog:
    return Watchdog(TrainSettings(clip_norm=clip_norm), total)


def rules(losses: list[float], norms: list[float] | None = None, **more: list[float]) -> list[str]:
    watch = watchdog()
    found = []
    for index, loss in enumerate(losses):
        metrics = {"loss": loss, "grad_norm": norms[index] if norms else 0.5}
        metrics |= {name: values[index] for name, values in more.items()}
        found += [alarm.rule.name for alarm in watch.step(index + 1, metrics)]
    return found


def raised(*results: EvaluationResult, total: int = 30) -> list[str]:
    watch = watchdog(total)
    return [a.rule.name for r in results for a in watch.evaluation(facts_of_result(r))]


def answers(count: int, **kinds: int) -> list[Answer]:
    """Right answers, with some replaced from the front by other kinds."""
    makers = {"wrong": wrong, "cut": cut, "bad_separator": bad_separator}
    found = [right(10 + i) for i in range(count)]
    place = 0
    for kind, number in kinds.items():
        for i in range(place, place + number):
            found[i] = makers[kind](10 + i)
        place += number
    return found


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_an_error(value: float) -> None:
    for metrics in ({"loss": value, "grad_norm": 1.0}, {"loss": 1.0, "grad_norm": value}):
        (alarm,) = watchdog().step(1, metrics)
        assert (alarm.rule.name, alarm.rule.severity) == ("not_finite", Severity.ERROR)
        assert str(value) in alarm.message([])
        json.dumps(alarm.data, allow_nan=False)


def test_a_jump_of_the_loss_is_one_alarm() -> None:
    assert rules([1.0] * 25 + [9.0, 9.0]) == ["loss_spike"]


def test_a_loss_that_stays_above_where_it_began_is_an_alarm() -> None:
    assert rules([4.0, *[6.0] * 12]) == ["loss_diverged"]


def test_a_loss_that_falls_and_then_stays_high_is_an_alarm() -> None:
    course = [4.0 - 0.15 * step for step in range(20)]
    assert "loss_diverged" in rules([*course, *[3.0] * 12])


def test_a_jump_of_the_gradient_counts_only_above_the_clip() -> None:
    assert rules([1.0] * 30, [0.6] * 25 + [40.0, *[0.6] * 4]) == ["grad_spike"]
    assert rules([1.0] * 30, [0.01] * 25 + [0.9, *[0.01] * 4]) == []


def test_steps_that_are_all_clipped_hard_are_one_alarm() -> None:
    assert rules([1.0] * 40, [138.0] * 40) == ["clipped"]
    assert rules([1.0] * 40, [10.0] * 40) == []


def test_updates_that_change_nothing_are_an_alarm() -> None:
    assert rules([1.0] * 9, unchanged_share=[0.97] * 9) == ["update_swallowed"]
    assert rules([1.0] * 9, unchanged_share=[0.97, 0.97, 0.0] * 3) == []


def test_a_rule_without_its_metrics_is_silent() -> None:
    watch = watchdog()
    assert [watch.step(step, {"reward": float("nan")}) for step in range(1, 40)] == [[]] * 39
    assert [a.rule.name for a in watch.step(40, {"loss": 1.0})] == []


def test_a_rule_fires_again_after_a_quiet_time() -> None:
    quiet = [1.0] * (QUIET_STEPS + 25)
    assert rules([*quiet, 9.0, *[1.0] * 5, 9.0, *quiet, 9.0]) == ["loss_spike", "loss_spike"]


def test_a_healthy_course_is_silent() -> None:
    generator = random.Random(0)
    losses = [2.0 / (1 + step / 20) * generator.uniform(0.8, 1.25) for step in range(300)]
    norms = [generator.uniform(0.3, 2.5) for _ in range(300)]
    assert rules(losses, norms) == []


def test_an_alarm_names_figures_examples_and_what_to_do() -> None:
    watch = watchdog()
    for step in range(1, 26):
        watch.step(step, {"loss": 1.0, "grad_norm": 0.5})
    (alarm,) = watch.step(26, {"loss": 9.0, "grad_norm": 0.5})
    message = alarm.message(["p1", "p2", "p3", "p4", "p5", "p6"])
    assert "loss jumped to 9 from a median of 1 (p1, p2, p3, p4 and 2 more); look at" in message
    assert alarm.data["loss"] == 9.0
    assert (alarm.measured.since, alarm.measured.worst_step) == (26, 26)


def test_what_was_seen_survives_a_checkpoint() -> None:
    straight, resumed = watchdog(), watchdog()
    generator = random.Random(1)
    course = [
        (generator.choice([0.5, 1.0, 4.0, 9.0]), generator.uniform(0, 90)) for _ in range(200)
    ]
    seen = []
    for step, (loss, norm) in enumerate(course, 1):
        metrics = {"loss": loss, "grad_norm": norm}
        seen.append([a.data for a in straight.step(step, metrics)])
        assert [a.data for a in resumed.step(step, metrics)] == seen[-1]
        kept = json.loads(json.dumps(resumed.dump()))
        resumed = watchdog()
        resumed.rewind(step, kept)
    assert any(seen)


def test_lost_format_with_the_math_still_there_is_an_alarm() -> None:
    before, after = (
        evaluation(answers(40), step=10),
        evaluation(answers(40, bad_separator=20), step=20),
    )
    assert raised(before, after) == ["format_lost"]
    assert raised(before, evaluation(answers(40, bad_separator=4), step=20)) == []
    broken_math = [("nothing to see", STOP)] * 20 + answers(20)
    assert raised(before, evaluation(broken_math, step=20)) == []


def test_a_run_that_was_never_evaluated_before_shows_what_the_format_costs() -> None:
    final = evaluation(answers(40, bad_separator=30), step=30)
    assert raised(final) == ["format_gap"]
    assert raised(evaluation(answers(40, bad_separator=30), step=20)) == []


def test_one_answer_to_everything_is_an_alarm() -> None:
    constant = [(f"x{i} </think> <answer> 7 </answer>", STOP) for i in range(30)]
    watch = watchdog()
    (alarm,) = watch.evaluation(facts_of_result(evaluation(constant, step=10)))
    assert alarm.rule.name == "one_answer"
    assert alarm.data["answer"] == "7"
    assert next(iter(alarm.data["responses"])) == "p000/0"
    assert "x0 </think>" in alarm.data["responses"]["p000/0"]


def test_one_answer_that_is_right_is_no_alarm() -> None:
    same = [right(7) for _ in range(30)]
    assert raised(evaluation(same, step=10, truths=["7"] * 30)) == []


def test_responses_that_drift_into_the_cap_are_an_alarm() -> None:
    before = evaluation(answers(30, cut=3), step=10)
    assert raised(before, evaluation(answers(30, cut=18), step=20)) == ["into_the_cap"]
    assert raised(before, evaluation(answers(30, cut=6), step=20)) == []


def test_a_cap_that_was_never_left_is_said_at_the_end_only() -> None:
    capped = [evaluation(answers(30, cut=28), step=step) for step in (0, 10, 30)]
    assert raised(*capped) == ["at_the_cap"]


def test_what_a_run_starts_from_is_not_its_doing() -> None:
    constant = [("x </think> <answer> 7 </answer>", STOP)] * 30
    assert raised(evaluation(constant, step=0)) == []


def test_a_fault_is_told_once_and_marks_every_evaluation_that_has_it() -> None:
    watch = watchdog()
    constant = [("x </think> <answer> 7 </answer>", STOP)] * 30
    found = [
        [a.rule.name for a in watch.evaluation(facts_of_result(evaluation(texts, step=step)))]
        for step, texts in ((10, constant), (20, constant), (30, answers(30)), (40, constant))
    ]
    assert found == [["one_answer"], [], [], ["one_answer"]]
    assert watch.under_alarm() == {10, 20, 40}
    watch.rewind(20, None)
    assert watch.scores().keys() == {10, 20}


@pytest.mark.slow
def test_names_of_rules_are_unique_and_say_what_they_need() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == len(names)
    assert all(rule.needs and rule.advice and rule.evidence and rule.signal for rule in RULES)
