"""Courses of metrics that a run may record, and what a watchdog says about them."""

from collections.abc import Mapping, Sequence

from core.config.schema import TrainSettings
from trainers.alarms import Alarm
from trainers.watchdog import Watchdog

HEALTHY = {
    "loss": 0.0,
    "grad_norm": 0.5,
    "rollouts": 64.0,
    "problems": 16.0,
    "right_share": 0.5,
    "formatted_share": 0.8,
    "truncated_share": 0.05,
    "constant_share": 0.02,
    "second_think_share": 0.0,
    "template_copy_share": 0.0,
    "degenerate_share": 0.01,
    "zero_advantage_share": 0.4,
    "rollout_entropy": 0.5,
    "engine_gap": 5e-6,
    "clip_fraction": 0.01,
    "kl": 0.01,
}
BEFORE = 12


def watch(courses: Mapping[str, Sequence[float]]) -> list[Alarm]:
    """Everything healthy for `BEFORE` updates, and then these courses; what is not named stays."""
    watchdog = Watchdog(TrainSettings(), 1000)
    alarms = []
    for step in range(1, BEFORE + 1 + max(map(len, courses.values()))):
        metrics = dict(HEALTHY)
        if step > BEFORE:
            metrics |= {
                name: course[min(step - BEFORE, len(course)) - 1]
                for name, course in courses.items()
            }
        alarms += watchdog.step(step, metrics)
    return alarms


def fired(**courses: list[float]) -> dict[str, int]:
    """Rules by the number of faulty updates that they needed."""
    return {alarm.rule.name: alarm.step - BEFORE for alarm in watch(courses)}
