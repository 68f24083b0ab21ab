"""What a run tells whoever is watching. Trainers print nothing; they call these."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from core.config.schema import RunConfig
from core.evaluation import EvaluationResult

if TYPE_CHECKING:
    from trainers.preflight import PreflightReport


class Severity(StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimizer update.

    Attributes:
        step: Updates done.
        total: Updates of the whole run.
        metrics: Everything recorded for this step.
        tokens_per_second: Tokens learned from since the run began, by the time that updates and
            what they learn from have taken; `metrics` has the pace of this update alone.
        seconds_left: Estimated time to the end, sampling included and evaluations not.
    """

    step: int
    total: int
    metrics: Mapping[str, float]
    tokens_per_second: float
    seconds_left: float


class Observer:
    """Watches nothing; subclasses override what they care about. Calls come in the run's order."""

    def started(self, run_id: str, config: RunConfig) -> None:
        """The run exists in the registry."""

    def phase(self, text: str) -> None:
        """A stretch of work begins that has no steps, such as starting the engine."""

    def preflight(self, report: "PreflightReport") -> None:
        """The checks before the first update are done."""

    def step(self, report: StepReport) -> None:
        """One update is done."""

    def evaluation_progress(self, step: int, done: int, total: int) -> None:
        """An evaluation has finished `done` of `total` responses."""

    def rollout_progress(self, number: int, done: int, total: int) -> None:
        """Rollout batch `number` has finished `done` of `total` responses."""

    def evaluation(self, result: EvaluationResult) -> None:
        """An evaluation is done."""

    def event(self, severity: Severity, message: str, step: int | None) -> None:
        """Something happened that people should know."""
