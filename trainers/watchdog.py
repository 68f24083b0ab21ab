"""Alarms while a run trains: signals that mean the numbers can no longer be trusted."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from trainers.observer import Severity

_WINDOW = 20
_SPIKE = 5.0
_MOSTLY_CLIPPED = 0.9


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm.

    Attributes:
        rule: Name of the rule that fired.
        severity: `error` means that going on is pointless.
        message: One sentence with the figures.
    """

    rule: str
    severity: Severity
    message: str


@dataclass(slots=True)
class Watchdog:
    """Watches the step metrics of one run; every rule but `not_finite` fires at most once.

    Attributes:
        clip_norm: The run's clipping threshold.
    """

    clip_norm: float
    _losses: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _norms: deque[float] = field(default_factory=lambda: deque(maxlen=_WINDOW))
    _fired: set[str] = field(default_factory=set)

    def observe(self, metrics: Mapping[str, float]) -> list[Alarm]:
        """Look at one step and return the alarms it raises."""
        loss, norm = metrics["loss"], metrics["grad_norm"]
        if not (math.isfinite(loss) and math.isfinite(norm)):
            text = f"loss is {loss} and gradient norm is {norm}; lower --lr or look at the data"
            return [Alarm("not_finite", Severity.ERROR, text)]
        alarms = [*self._spike(loss), *self._clipping(norm)]
        self._losses.append(loss)
        return [alarm for alarm in alarms if self._first_time(alarm.rule)]

    def _spike(self, loss: float) -> list[Alarm]:
        if len(self._losses) < _WINDOW:
            return []
        usual = sorted(self._losses)[_WINDOW // 2]
        if loss <= _SPIKE * max(usual, 0.05):
            return []
        text = (
            f"loss jumped to {loss:.3g} from a median of {usual:.3g}; lower --lr if it stays there"
        )
        return [Alarm("loss_spike", Severity.WARNING, text)]

    def _clipping(self, norm: float) -> list[Alarm]:
        self._norms.append(norm)
        if len(self._norms) < _WINDOW:
            return []
        share = sum(value > self.clip_norm for value in self._norms) / _WINDOW
        worst = max(self._norms)
        if share < _MOSTLY_CLIPPED or worst < 10 * self.clip_norm:
            return []
        text = (
            f"{share:.0%} of the last {_WINDOW} steps were clipped, gradient norms up to "
            f"{worst:.3g} under a clip of {self.clip_norm:g}: the clip sets the step size, not --lr"
        )
        return [Alarm("clipping", Severity.WARNING, text)]

    def _first_time(self, rule: str) -> bool:
        if rule in self._fired:
            return False
        self._fired.add(rule)
        return True
