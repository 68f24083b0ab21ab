"""Alarms about the policy's own responses fire within ten updates, and not on healthy courses."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.config.schema import TrainSettings
from core.registry.recorder import Recorder
from core.rollouts import Rollout
from tests.a5ctl.handmade import STOP, Answer, cut, right, wrong
from tests.trainers.handmade_courses import BEFORE, HEALTHY, fired, watch
from tests.trainers.handmade_rollouts import rollouts
from trainers.alarms import Alarm, Remedy, RolloutRule
from trainers.alarms_outcomes import OUTCOME_RULES
from trainers.alarms_policy import POLICY_RULES
from trainers.alarms_rollouts import ROLLOUT_RULES
from trainers.checkpoint import TrainerState
from trainers.observer import Severity
from trainers.reaction import Reaction
from trainers.rollback import Rewinder
from trainers.rollouts_facts import rollout_facts
from trainers.watchdog import Watchdog

RULES = (*ROLLOUT_RULES, *OUTCOME_RULES, *POLICY_RULES)


@pytest.mark.parametrize(
    ("courses", "rule"),
    [
        ({"constant_share": [0.2, 0.5, 0.8, 0.9, 0.9]}, "constant_answer"),
        ({"formatted_share": [0.5, 0.3, 0.2, 0.2]}, "rollout_format_lost"),
        ({"template_copy_share": [0.1, 0.3, 0.5, 0.6]}, "template_copied"),
        ({"second_think_share": [0.1, 0.2, 0.3, 0.4]}, "second_think"),
        ({"truncated_share": [0.2, 0.4, 0.6, 0.8, 0.8]}, "drift_into_cap"),
        ({"right_share": [0.1, *[0.0] * 4], "formatted_share": [0.5] * 5}, "reward_lost"),
        ({"zero_advantage_share": [0.9, *[1.0] * 9]}, "nothing_to_learn"),
        ({"rollout_entropy": [1.0, 3.0, 5.0, 6.0]}, "entropy_exploded"),
        ({"rollout_entropy": [0.1, *[0.001] * 8]}, "entropy_collapsed"),
        ({"engine_gap": [5e-3]}, "engine_gap"),
        ({"engine_gap": [float("inf")]}, "engine_gap"),
        ({"engine_gap": [4e-4, 5e-4, 6e-4, 7e-4]}, "engine_gap"),
        ({"kl": [0.5, 2.0, 3.0, 4.0]}, "kl_high"),
        ({"clip_fraction": [0.5] * 10}, "ratios_clipped"),
    ],
)
def test_each_fault_is_one_alarm_within_ten_updates(
    courses: dict[str, list[float]], rule: str
) -> None:
    alarms = watch(courses)
    assert [alarm.rule.name for alarm in alarms] == [rule]
    (alarm,) = alarms
    assert alarm.step <= BEFORE + 10
    assert BEFORE - 8 <= alarm.measured.since <= alarm.step
    assert isinstance(alarm.rule, RolloutRule)
    json.dumps(alarm.data, allow_nan=False)


def test_what_a_run_begins_with_is_not_its_doing() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    begun = {"truncated_share": 0.7, "constant_share": 0.5, "second_think_share": 0.4}
    begun |= {"template_copy_share": 0.6}
    courses = [{**HEALTHY, **begun}] * 30
    assert [a for step, m in enumerate(courses, 1) for a in watchdog.step(step, m)] == []


def test_a_fault_that_comes_back_counts_from_its_lowest_course() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    shares = [0.6, 0.4, 0.2, *[0.05] * 15, *[0.4] * 3]
    names = [
        (alarm.rule.name, alarm.step)
        for step, share in enumerate(shares, 1)
        for alarm in watchdog.step(step, {**HEALTHY, "truncated_share": share})
    ]
    assert names == [("drift_into_cap", 21)]


def test_a_policy_that_solves_its_problems_may_be_sure_of_itself() -> None:
    assert fired(rollout_entropy=[0.001] * 10, right_share=[0.95] * 10) == {}
    assert "entropy_collapsed" in fired(rollout_entropy=[0.001] * 10)


def test_a_gap_of_coarse_rounding_is_its_own_measure() -> None:
    watchdog = Watchdog(TrainSettings(), 100)
    gaps = [0.01, 0.02, 0.015, 0.03, 0.008, 0.04]
    courses = [{**HEALTHY, "engine_gap": gap} for gap in gaps]
    assert [a for step, m in enumerate(courses, 1) for a in watchdog.step(step, m)] == []
    (alarm,) = watchdog.step(7, {**HEALTHY, "engine_gap": 0.2})
    assert (alarm.rule.name, alarm.rule.remedy) == ("engine_gap", Remedy.STOP)
    assert "0.2 nats per token, and by 0.01 before" in alarm.message([])


def test_an_engine_with_other_weights_from_the_start_is_told_at_once() -> None:
    (alarm,) = Watchdog(TrainSettings(), 100).step(1, {**HEALTHY, "engine_gap": 4.0})
    assert alarm.rule.name == "engine_gap"


def test_metrics_of_a_batch_come_at_its_first_update_only() -> None:
    watchdog = Watchdog(TrainSettings(), 1000)
    of_a_batch = {"rollouts", "problems", "truncated_share"}
    names = []
    for step in range(1, 80):
        share = 0.05 if step < 41 else 0.6
        metrics = {**HEALTHY, "truncated_share": share}
        if step % 4 != 1:
            metrics = {name: v for name, v in metrics.items() if name not in of_a_batch}
        names += [(alarm.rule.name, alarm.step) for alarm in watchdog.step(step, metrics)]
    assert names == [("drift_into_cap", 49)]


class Told:
    """Takes down what a reaction records and shows."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, int | None, Any]] = []
        self.recorder = cast(Recorder, SimpleNamespace(event=self._recorded))
        self.shown: list[str] = []

    def _recorded(
        self, severity: str, kind: str, message: str, step: int | None = None, data: Any = None
    ) -> None:
        assert severity == Severity.WARNING
        self.events.append((kind, message, step, data))

    def event(self, severity: Severity, message: str, step: int | None = None) -> None:
        self.shown.append(message)


def reacted(tmp_path: Path, alarms: Sequence[Alarm], batch: Sequence[Rollout]) -> Told:
    told = Told()
    settings = TrainSettings()
    reaction = Reaction(
        settings,
        Watchdog(settings, 100),
        cast(Rewinder, None),
        tmp_path,
        told.recorder,
        cast(Any, told),
        lambda step: [f"problem of {step}"],
        lambda step: batch,
    )
    assert reaction.to(alarms, cast(TrainerState, None)) is None
    return told


def test_an_alarm_names_the_responses_that_show_it(tmp_path: Path) -> None:
    hostile: Answer = ("so\x1b[2J </think> <answer> 1 </answer>", STOP)
    batch = rollouts([right(10), hostile, hostile, cut(11), hostile, wrong(12)])
    alarms = watch({"constant_share": [0.9] * 3})
    told = reacted(tmp_path, alarms, batch)
    ((kind, message, step, data),) = told.events
    assert (kind, step) == ("constant_answer", BEFORE + 3)
    assert "(p000/1, p001/0, p002/0); the reward pays for something else" in message
    assert list(data["responses"]) == ["p000/1", "p001/0", "p002/0"]
    assert data["responses"]["p001/0"] == "so\\x1b[2J </think> <answer> 1 </answer>"
    assert data["since"] == BEFORE
    assert told.shown == [message]


def test_a_fault_without_such_a_response_names_none(tmp_path: Path) -> None:
    told = reacted(tmp_path, watch({"second_think_share": [0.5] * 3}), rollouts([right(10)] * 2))
    ((_, message, _, data),) = told.events
    assert data["responses"] == {}
    assert "before; the grader accepts" in message


def test_other_alarms_go_on_naming_problems(tmp_path: Path) -> None:
    told = reacted(tmp_path, watch({"loss": [0.0] * 12 + [9.0]}), rollouts([right(10)] * 2))
    ((kind, message, step, data),) = told.events
    assert (kind, step) == ("loss_spike", BEFORE + 13)
    assert f"(problem of {BEFORE + 13})" in message
    assert "responses" not in data


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_offenders_are_among_the_rollouts(rule: RolloutRule) -> None:
    texts = [right(10), wrong(10), cut(11), ("a </think> b </think> <answer> 1 </answer>", STOP)]
    batch = rollouts(texts)
    assert all(found in batch for found in rule.offenders(batch))
    assert list(rule.offenders([])) == []


def test_rules_need_only_what_rollouts_or_an_update_can_say() -> None:
    of_an_update = {"engine_gap", "kl", "clip_fraction", "zero_advantage_share"}
    known = rollout_facts(rollouts([right(10)] * 2)).keys() | of_an_update
    assert {name for rule in RULES for name in rule.needs} <= known
