"""Watches a run by one table of rules: signals that mean the numbers can no longer be trusted.

docs/watchdog.md lists the table. A rule whose metrics a method does not emit is silent.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from core.config.schema import TrainSettings
from trainers.alarms import Alarm, EvaluationView, MetricHistory, Rule, StepRule, StepView
from trainers.alarms_evaluations import EVALUATION_RULES
from trainers.alarms_outcomes import OUTCOME_RULES
from trainers.alarms_policy import POLICY_RULES
from trainers.alarms_rollouts import ROLLOUT_RULES
from trainers.alarms_steps import STEP_RULES
from trainers.evaluation_facts import EvaluationFacts

UPDATE_RULES: tuple[StepRule, ...] = (
    *STEP_RULES,
    *ROLLOUT_RULES,
    *OUTCOME_RULES,
    *POLICY_RULES,
)
RULES: tuple[Rule, ...] = (*UPDATE_RULES, *EVALUATION_RULES)

QUIET_STEPS = 50
"""A step rule that fired fires again only after so many steps without its signal."""

_WATCHED = frozenset(name for rule in UPDATE_RULES for name in rule.needs)


@dataclass(slots=True)
class Watchdog:
    """Watches one run.

    Attributes:
        settings: The run's training settings.
        total: Updates of the whole run.
    """

    settings: TrainSettings
    total: int
    _history: dict[str, MetricHistory] = field(default_factory=dict)
    _last_true: dict[str, int] = field(default_factory=dict)
    _evaluations: list[EvaluationFacts] = field(default_factory=list)

    def step(self, step: int, metrics: Mapping[str, float]) -> list[Alarm]:
        """Look at one update and return the alarms it raises.

        Args:
            step: Counted from 1.
            metrics: What the method emitted; a metric may be there at some steps only.
        """
        for name in _WATCHED & metrics.keys():
            self._history.setdefault(name, MetricHistory()).add(step, metrics[name])
        view = StepView(self._history, self.settings)
        alarms = []
        for rule in UPDATE_RULES:
            # at least one of its metrics is new, and none was never seen
            if not (metrics.keys() & set(rule.needs)) or not (
                self._history.keys() >= set(rule.needs)
            ):
                continue
            measured = rule.measure(view)
            if measured is not None and measured.value >= rule.threshold:
                if self._is_new(rule.name, step):
                    alarms.append(Alarm(rule, step, measured))
                self._last_true[rule.name] = step
        return alarms

    def evaluation(self, facts: EvaluationFacts) -> list[Alarm]:
        """Look at one evaluation, and return the alarms that the one before did not raise."""
        before = self._raised_at_last()
        found = self._raised(facts, tuple(self._evaluations))
        self._evaluations.append(facts)
        return [alarm for alarm in found if alarm.rule.name not in before]

    def under_alarm(self) -> frozenset[int]:
        """Steps whose evaluation shows a fault, whether it was new then or not."""
        return frozenset(
            facts.step
            for index, facts in enumerate(self._evaluations)
            if self._raised(facts, tuple(self._evaluations[:index]))
        )

    def scores(self) -> dict[int, float]:
        """Headline accuracy of every evaluation, by step."""
        return {facts.step: facts.accuracy for facts in self._evaluations}

    def dump(self) -> dict[str, Any]:
        """What was seen of the updates, JSON-ready; evaluations are in the registry."""
        history = {name: asdict(metric) for name, metric in self._history.items()}
        return {"history": history, "last_true": dict(self._last_true)}

    def rewind(self, step: int, dumped: Mapping[str, Any] | None) -> None:
        """Go back to where `dump` was made, behind update `step`; None is the start of a run."""
        seen = dumped or {"history": {}, "last_true": {}}
        self._history = {name: MetricHistory(**kept) for name, kept in seen["history"].items()}
        self._last_true = dict(seen["last_true"])
        self._evaluations = [facts for facts in self._evaluations if facts.step <= step]

    def _raised_at_last(self) -> set[str]:
        if not self._evaluations:
            return set()
        *earlier, last = self._evaluations
        return {alarm.rule.name for alarm in self._raised(last, tuple(earlier))}

    def _raised(self, facts: EvaluationFacts, earlier: tuple[EvaluationFacts, ...]) -> list[Alarm]:
        if facts.step == 0:
            return []  # what the run starts from is not its doing
        view = EvaluationView(facts, earlier, last=facts.step >= self.total)
        pairs = [(rule, rule.measure(view)) for rule in EVALUATION_RULES]
        return [
            Alarm(rule, facts.step, measured)
            for rule, measured in pairs
            if measured is not None and measured.value >= rule.threshold
        ]

    def _is_new(self, rule: str, step: int) -> bool:
        last = self._last_true.get(rule)
        return last is None or step - last > QUIET_STEPS
