"""What an alarm is made of: a rule, what it measured, and the words a person reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import fmean, median
from typing import Any

from core.config.schema import TrainSettings
from core.rollouts import Rollout
from trainers.evaluation_facts import EvaluationFacts
from trainers.observer import Severity

WINDOW = 20
"""Newest values of every metric that step rules may look at."""
_NAMED = 4
TYPICAL = 10
"""Values behind one typical value, their median."""
RECENT = 5
"""Values behind a mean that one unlucky batch does not move far."""


class Remedy(StrEnum):
    """What helps."""

    SLOWER = "slower"
    """Going back and learning at a lower rate."""
    STOP = "stop"
    """Another setting only: `rollback` stops, too."""
    NONE = "none"
    """Nothing any more: the run is over, and a warning is all there is."""


@dataclass(slots=True)
class MetricHistory:
    """The course of one metric, as far as rules need it.

    Attributes:
        steps: Steps of the newest values, oldest first.
        values: Those values.
        first: The first value of the run; None before there is one.
        lowest: The lowest typical value so far; None before there is one.
        highest: The highest mean of `RECENT` values in a row; None before there is one.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    first: float | None = None
    lowest: float | None = None
    highest: float | None = None

    def add(self, step: int, value: float) -> None:
        """Take in the value of one step."""
        self.first = value if self.first is None else self.first
        self.steps = [*self.steps, step][-WINDOW:]
        self.values = [*self.values, value][-WINDOW:]
        if len(self.values) >= TYPICAL:
            typical = median(self.values[-TYPICAL:])
            self.lowest = typical if self.lowest is None else min(self.lowest, typical)
        if len(self.values) >= RECENT:
            mean = fmean(self.values[-RECENT:])
            self.highest = mean if self.highest is None else max(self.highest, mean)


@dataclass(frozen=True, slots=True)
class StepView:
    """What a step rule sees.

    Attributes:
        history: Every metric up to and with this step.
        settings: The run's training settings.
    """

    history: Mapping[str, MetricHistory]
    settings: TrainSettings


@dataclass(frozen=True, slots=True)
class EvaluationView:
    """What an evaluation rule sees.

    Attributes:
        now: The evaluation that just ended.
        earlier: Those before it, oldest first.
        last: The run ends with this one.
    """

    now: EvaluationFacts
    earlier: tuple[EvaluationFacts, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """What a rule found.

    Attributes:
        value: The signal; an alarm from the rule's threshold on.
        text: The figures in words, for the message.
        since: First step that the signal speaks of: what was saved from there on is suspect.
        figures: Numbers behind it, JSON-ready.
        worst_step: The step whose batch shows it best; None for evaluations.
        responses: Keys `problem/sample` of the responses that show it.
    """

    value: float
    text: str
    since: int
    figures: Mapping[str, Any]
    worst_step: int | None = None
    responses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table.

    Attributes:
        name: Kind of the event it leaves.
        signal: What is measured, in words.
        threshold: From this value on it is an alarm.
        evidence: What its event holds, in words.
        advice: What to do about it; completes a sentence after a semicolon.
        needs: Metrics without which it is silent; `evaluation` for rules that look at evaluations.
        severity: `error` ends the run even where alarms only warn.
        remedy: What is done about it where alarms do more than warn.
    """

    name: str
    signal: str
    threshold: float
    evidence: str
    advice: str
    needs: tuple[str, ...]
    severity: Severity = Severity.WARNING
    remedy: Remedy = Remedy.SLOWER


@dataclass(frozen=True, slots=True)
class StepRule(Rule):
    """A rule that looks at every step; `measure` returns None while it cannot say."""

    measure: Callable[[StepView], Measured | None] = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class RolloutRule(StepRule):
    """A step rule about the policy's own responses; `offenders` picks those that show the fault."""

    offenders: Callable[[Sequence[Rollout]], Sequence[Rollout]] = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class EvaluationRule(Rule):
    """A rule that looks at every evaluation after the first update."""

    measure: Callable[[EvaluationView], Measured | None] = field(kw_only=True)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule that fired.

    Attributes:
        rule: Which.
        step: Where.
        measured: What it saw.
    """

    rule: Rule
    step: int
    measured: Measured

    def message(self, behind: Sequence[str]) -> str:
        """One sentence with the figures, what shows it, and what to do.

        Args:
            behind: Ids of the problems or responses that show it.
        """
        rest = len(behind) - _NAMED
        named = ", ".join(behind[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
        shown = f" ({named})" if behind else ""
        return f"{self.measured.text}{shown}; {self.rule.advice}"

    @property
    def data(self) -> dict[str, Any]:
        """The evidence, JSON-ready."""
        return {
            "rule": self.rule.name,
            "value": self.measured.value,
            "threshold": self.rule.threshold,
            "since": self.measured.since,
            **self.measured.figures,
        }
