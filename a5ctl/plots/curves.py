"""What a plot shows: one panel per metric, one line per run, in few points made by the database."""

import difflib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from core.errors import UserError
from core.registry.records import CurvePoint, EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.statistics import wilson_interval

_TOKENS = "tokens_total"
_ACCURACY = "accuracy"
_SHARES = ("unclosed", "truncated", "unparseable")
_UNITS = {
    "tokens_per_second": "tokens per second",
    "tokens": "tokens",
    _TOKENS: "tokens",
    "response_tokens": "tokens",
    "entropy": "nats",
    "kl": "nats",
}


class Axis(StrEnum):
    """What runs along the bottom."""

    STEP = "step"
    TIME = "time"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True)
class Spot:
    """One point; `low` and `high` are the extremes of its values, or a 95% interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of one run, by ascending x; `nonfinite` counts values that cannot be drawn."""

    run: str
    spots: tuple[Spot, ...]
    nonfinite: int = 0


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric.

    Attributes:
        unit: Of its values; empty where it has none.
        evaluated: Its points are evaluations with 95% intervals.
        missing: Ids of runs that have nothing to show.
        smooth: Weight of the past in the values; 0 where they are as they were.
    """

    metric: str
    unit: str
    evaluated: bool
    lines: tuple[Line, ...]
    missing: tuple[str, ...] = ()
    smooth: float = 0.0

    @property
    def remark(self) -> str:
        """What a title has to say beside the name."""
        return f", smoothed by {self.smooth:g}" if self.smooth else ""


def read_panels(
    registry: Registry,
    runs: Sequence[RunRecord],
    metrics: Sequence[str],
    axis: Axis,
    points: int,
) -> list[Panel]:
    """Read every metric of every run.

    Args:
        registry: Where they are.
        runs: The runs.
        metrics: Recorded metrics, or figures of evaluations: `accuracy`, `accuracy.GRADER`,
            `unclosed`, `truncated`, `unparseable`. What was recorded comes first.
        axis: What runs along the bottom.
        points: At most so many per line.

    Raises:
        UserError: none of the runs has such a metric, or nothing tells their tokens.
    """
    uuids = [run.uuid for run in runs]
    recorded = registry.curves(uuids, list(metrics), points)
    known = {name for own in recorded.values() for name in own}
    evaluated = [name for name in metrics if name not in known]
    evaluations = registry.evaluations(uuids) if evaluated else []
    scales = {run.uuid: _Scale(registry, run, axis, points) for run in runs}
    panels = []
    for name in metrics:
        if name in known:
            lines = {r.uuid: _recorded(name, r, recorded[r.uuid], scales[r.uuid]) for r in runs}
            panels.append(_panel(name, _unit(name), runs, lines.values()))
            continue
        lines = {r.uuid: _evaluated(name, r, evaluations, scales[r.uuid]) for r in runs}
        if not any(line.spots for line in lines.values()):
            raise UserError(_unknown(registry, runs, name, evaluations))
        panels.append(_panel(name, "share", runs, lines.values(), evaluated=True))
    return panels


def smoothed(panel: Panel, weight: float) -> Panel:
    """Exponential moving averages (the weight is that of the past); evaluations stay as they are.

    A running weight corrects the start, which would otherwise lean towards zero (Adam does so).
    """
    if panel.evaluated or weight == 0:
        return panel
    lines = tuple(_smooth_line(line, weight) for line in panel.lines)
    return replace(panel, lines=lines, smooth=weight)


def _smooth_line(line: Line, weight: float) -> Line:
    total = norm = 0.0
    spots = []
    for spot in line.spots:
        total, norm = weight * total + spot.y, weight * norm + 1
        spots.append(replace(spot, y=total / norm))
    return replace(line, spots=tuple(spots))


class _Scale:
    """Where a step of a run lies on the axis."""

    def __init__(self, registry: Registry, run: RunRecord, axis: Axis, points: int) -> None:
        self._registry, self._run, self._axis = registry, run, axis
        self._steps: list[int] = []
        self._tokens: list[float] = []
        if axis is Axis.TOKENS:
            found = registry.curves([run.uuid], [_TOKENS], points)[run.uuid].get(_TOKENS, [])
            # they only grow: the largest of neighbours is that of the last step
            known = [(point.step, point.highest) for point in found if point.highest is not None]
            if not known:
                raise UserError(f"run {run.id} has not recorded {_TOKENS}; plot over --x step")
            self._steps = [0, *(step for step, _ in known)]
            self._tokens = [0.0, *(tokens for _, tokens in known)]

    def of_metric(self, name: str, steps: Sequence[int]) -> list[float | None]:
        """Places of steps at which this metric was recorded."""
        if self._axis is Axis.TIME:
            times = self._registry.metric_times(self._run.uuid, name, steps)
            return [self._since(times.get(step)) for step in steps]
        return [self._place(step) for step in steps]

    def of_evaluation(self, evaluation: EvaluationRecord) -> float | None:
        """Place of an evaluation."""
        if self._axis is Axis.TIME:
            return self._since(evaluation.time)
        return self._place(evaluation.step)

    def _since(self, time: float | None) -> float | None:
        begun = self._run.started if self._run.started is not None else self._run.created
        return None if time is None else max(0.0, time - begun)

    def _place(self, step: int) -> float:
        if self._axis is not Axis.TOKENS:
            return float(step)
        right = min(max(1, bisect_left(self._steps, step)), len(self._steps) - 1)
        (a, b), (low, high) = (
            self._steps[right - 1 : right + 1],
            self._tokens[right - 1 : right + 1],
        )
        return low + (high - low) * (min(step, b) - a) / (b - a) if b > a else high


def _panel(
    name: str, unit: str, runs: Sequence[RunRecord], lines: Iterable[Line], evaluated: bool = False
) -> Panel:
    made = list(lines)
    shown = tuple(line for line in made if line.spots)
    missing = tuple(r.id for r, line in zip(runs, made, strict=True) if not line.spots)
    return Panel(name, unit, evaluated, shown, missing)


def _recorded(
    name: str, run: RunRecord, curves: dict[str, list[CurvePoint]], scale: _Scale
) -> Line:
    curve = curves.get(name, [])
    spots = []
    for point, x in zip(curve, scale.of_metric(name, [p.step for p in curve]), strict=True):
        if x is not None and point.value is not None:
            low = point.value if point.lowest is None else point.lowest
            high = point.value if point.highest is None else point.highest
            spots.append(Spot(x, point.value, low, high))
    spots.sort(key=lambda spot: spot.x)
    return Line(run.id, tuple(spots), sum(point.nonfinite for point in curve))


def _evaluated(
    name: str, run: RunRecord, evaluations: Sequence[EvaluationRecord], scale: _Scale
) -> Line:
    by_x = {}
    for one in (e for e in evaluations if e.run_uuid == run.uuid):
        figure, x = _figure(name, one), scale.of_evaluation(one)
        if figure is not None and x is not None:
            by_x[x] = Spot(x, *figure)  # of several at one step the newest
    return Line(run.id, tuple(by_x[x] for x in sorted(by_x)))


def _figure(name: str, evaluation: EvaluationRecord) -> tuple[float, float, float] | None:
    """A share with its 95% interval; None where the evaluation has none of this name."""
    if name == _ACCURACY:
        return (evaluation.accuracy, *evaluation.interval)
    if name in _SHARES:
        whole = evaluation.numeric if name == "unparseable" else evaluation.n
        return _counted(getattr(evaluation, name), whole)
    grader = name.removeprefix(f"{_ACCURACY}.")
    if grader == name or grader not in evaluation.accuracy_by_grader:
        return None
    return _counted(round(evaluation.accuracy_by_grader[grader] * evaluation.n), evaluation.n)


def _counted(hits: int, whole: int) -> tuple[float, float, float] | None:
    return (hits / whole, *wilson_interval(hits, whole)) if whole else None


def _unit(name: str) -> str:
    if name in _UNITS:
        return _UNITS[name]
    if name.endswith("_seconds"):
        return "seconds"
    return "share" if name.endswith(("_share", "_fraction")) else ""


def _unknown(
    registry: Registry,
    runs: Sequence[RunRecord],
    name: str,
    evaluations: Sequence[EvaluationRecord],
) -> str:
    summaries = registry.metric_summaries([run.uuid for run in runs])
    known = {found for own in summaries.values() for found in own}
    if evaluations:
        graders = {f"{_ACCURACY}.{g}" for e in evaluations for g in e.accuracy_by_grader}
        known |= {_ACCURACY, *_SHARES, *graders}
    who = f"run {runs[0].id} has" if len(runs) == 1 else "these runs have"
    if not known:
        return f"{who} recorded nothing yet; a5ctl ls shows where runs stand"
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {_some(sorted(known))}"
    return f"{who} no metric {name!r}; {hint}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if names[12:] else "")
