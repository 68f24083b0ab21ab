"""Alarms fire on runs that go wrong, once, and stay silent on healthy ones."""

import random

from trainers.observer import Severity
from trainers.watchdog import Watchdog


def rules(watchdog: Watchdog, losses: list[float], norms: list[float]) -> list[str]:
    return [
        alarm.rule
        for loss, norm in zip(losses, norms, strict=True)
        for alarm in watchdog.observe({"loss": loss, "grad_norm": norm})
    ]


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    (alarm,) = Watchdog(1.0).observe({"loss": float("nan"), "grad_norm": 1.0})
    assert alarm.severity is Severity.ERROR
    (alarm,) = Watchdog(1.0).observe({"loss": 1.0, "grad_norm": float("inf")})
    assert "inf" in alarm.message


def test_a_jump_of_the_loss_is_one_alarm() -> None:
    assert rules(Watchdog(1.0), [1.0] * 25 + [9.0, 9.0], [0.5] * 27) == ["loss_spike"]


def test_steps_that_are_all_clipped_hard_are_one_alarm() -> None:
    assert rules(Watchdog(1.0), [1.0] * 40, [138.0] * 40) == ["clipping"]


def test_a_healthy_run_is_silent() -> None:
    generator = random.Random(0)
    losses = [2.0 / (1 + step / 20) * generator.uniform(0.8, 1.25) for step in range(300)]
    norms = [generator.uniform(0.3, 2.5) for _ in range(300)]
    assert rules(Watchdog(1.0), losses, norms) == []
