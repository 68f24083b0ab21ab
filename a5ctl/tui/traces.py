"""Curves as a screen keeps them: read once in a few hundred points, then only what is new."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from a5ctl.plots.panels import Axis
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry
from core.registry.stretches import StretchPoint, stretches
from core.registry.watch import RunMarks, run_marks

TOKENS = "tokens_total"
POINTS = 600
_FIRST = ("accuracy", "loss", "reward", "entropy", "grad_norm", "kl")
_SHARES = ("unclosed", "truncated", "unparseable")

Figure = Callable[[EvaluationRecord], float | None]


@dataclass(frozen=True, slots=True)
class Trace:
    """One metric of one run.

    Attributes:
        run: Id of the run.
        places: Steps, tokens or seconds, ascending.
        values: One for each place.
        averaged: A point stands for more than one value.
        nonfinite: Values that cannot be drawn.
    """

    run: str
    places: tuple[float, ...]
    values: tuple[float, ...]
    averaged: bool = False
    nonfinite: int = 0


@dataclass
class RunCurves:
    """What is known of one run's curves.

    Attributes:
        metrics: Names of everything recorded.
        evaluations: All of them.
        points: What was read so far, by name.
        marks: How far the records went when they were read.
    """

    run: RunRecord
    metrics: tuple[str, ...] = ()
    evaluations: Sequence[EvaluationRecord] = ()
    points: dict[str, list[StretchPoint]] = field(default_factory=dict)
    marks: RunMarks | None = None

    def names(self) -> list[str]:
        """Everything that can be drawn: figures of evaluations first, then metrics by name."""
        return [*evaluation_figures(self.evaluations), *self.metrics]

    def unread(self, names: Iterable[str], axis: Axis) -> dict[str, int]:
        """Metrics to read, by the last step that is known (-1 where nothing is)."""
        wanted = [name for name in names if name in self.metrics]
        if axis is Axis.TOKENS and TOKENS in self.metrics:
            wanted.append(TOKENS)
        return {
            name: self.points[name][-1].step if self.points.get(name) else -1 for name in wanted
        }

    def take(self, update: "Update") -> int:
        """Add what was read; returns the number of new points."""
        if update.anew:
            self.points.clear()
        self.marks = update.marks
        self.metrics = update.metrics if update.metrics is not None else self.metrics
        if update.evaluations is not None:
            self.evaluations = update.evaluations
        new = 0
        for name, points in update.points.items():
            known = self.points.setdefault(name, [])
            last = known[-1].step if known else -1
            fresh = [point for point in points if point.step > last]
            known += fresh
            new += len(fresh)
        return new

    def trace(self, name: str, axis: Axis) -> Trace | None:
        """One curve along an axis; None where there is nothing to draw."""
        if name in self.metrics:
            return self._recorded(name, self.points.get(name, ()), axis)
        figure = evaluation_figures(self.evaluations).get(name)
        return None if figure is None else self._evaluated(figure, axis)

    def detail(self, found: Mapping[str, Sequence[StretchPoint]], axis: Axis) -> dict[str, Trace]:
        """Curves of a part that was read apart."""
        made = {name: self._recorded(name, points, axis) for name, points in found.items()}
        return {name: trace for name, trace in made.items() if trace is not None}

    def steps_between(self, name: str, axis: Axis, left: float, right: float) -> tuple[int, int]:
        """The steps of a metric that lie in a part of the axis, with one more on each side."""
        points = self.points.get(name, [])
        places = [self._place(point.step, point.time, axis) for point in points]
        begin = max(0, bisect_left(places, left) - 1)
        end = min(len(points) - 1, bisect_left(places, right))
        if not points:
            return 0, 0
        first = points[begin - 1].step + 1 if begin else 0
        return first, points[end].step

    def _recorded(self, name: str, points: Sequence[StretchPoint], axis: Axis) -> Trace | None:
        shown = [point for point in points if point.value is not None]
        if not shown:
            return None
        return Trace(
            self.run.id,
            tuple(self._place(point.step, point.time, axis) for point in shown),
            tuple(point.value for point in shown if point.value is not None),
            any(point.count > 1 for point in points),
            sum(point.nonfinite for point in points),
        )

    def _evaluated(self, figure: Figure, axis: Axis) -> Trace | None:
        found: dict[float, float] = {}
        for evaluation in self.evaluations:
            value = figure(evaluation)
            if value is not None:
                found[self._place(evaluation.step, evaluation.time, axis)] = value
        places = sorted(found)
        return Trace(self.run.id, tuple(places), tuple(found[p] for p in places)) if found else None

    def _place(self, step: int, time: float, axis: Axis) -> float:
        if axis is Axis.TIME:
            begun = self.run.started if self.run.started is not None else self.run.created
            return max(0.0, time - begun)
        return self._tokens(step) if axis is Axis.TOKENS else float(step)

    def _tokens(self, step: int) -> float:
        """Tokens behind a step, between those that were recorded."""
        known = [p for p in self.points.get(TOKENS, ()) if p.highest is not None]
        right = bisect_left(known, step, key=lambda point: point.step)
        if not known:
            return float(step)
        if right >= len(known):
            return float(known[-1].highest or 0.0)
        low, start = (known[right - 1].highest or 0.0, known[right - 1].step) if right else (0.0, 0)
        high, end = known[right].highest or 0.0, known[right].step
        return low + (high - low) * (step - start) / (end - start) if end > start else high


def evaluation_figures(evaluations: Sequence[EvaluationRecord]) -> dict[str, Figure]:
    """What evaluations say that can be drawn, by name."""
    if not evaluations:
        return {}
    graders = sorted({grader for e in evaluations for grader in e.accuracy_by_grader})
    return {
        "accuracy": lambda e: e.accuracy,
        **{f"accuracy.{grader}": _by_grader(grader) for grader in graders},
        **{name: _share(name) for name in _SHARES},
    }


@dataclass(frozen=True, slots=True)
class Update:
    """What was read of one run.

    Attributes:
        marks: How far its records go now.
        metrics: Names, where they were looked at.
        evaluations: All of them, where some are new.
        points: New points by metric.
        anew: A resume or rollback took points back: what was known is void.
    """

    marks: RunMarks
    metrics: tuple[str, ...] | None
    evaluations: Sequence[EvaluationRecord] | None
    points: Mapping[str, Sequence[StretchPoint]]
    anew: bool


def read_update(
    registry: Registry, curves: RunCurves, chosen: Sequence[str] | None, axis: Axis
) -> Update:
    """Read what is missing of some curves: all of it at first, then only what came since.

    Args:
        registry: Where they are.
        curves: What is known; it stays as it is.
        chosen: What is to be drawn; `first_choice` when None.
        axis: What runs along the bottom.
    """
    run, before = curves.run, curves.marks
    marks = run_marks(registry.database, run.uuid)
    anew = before is not None and marks.segments != before.segments
    moved = before is None or anew
    metrics, evaluations = curves.metrics, curves.evaluations
    if moved or before is None or marks.last_step != before.last_step:
        metrics = tuple(sorted(registry.metric_summaries([run.uuid])[run.uuid]))
    if moved or before is None or marks.evaluations != before.evaluations:
        evaluations = registry.evaluations([run.uuid])
    known = RunCurves(run, metrics, evaluations, {} if anew else curves.points)
    names = first_choice(known.names()) if chosen is None else chosen
    points = _read_new(registry, run, known.unread(names, axis))
    return Update(marks, metrics, evaluations, points, anew)


def first_choice(names: Sequence[str]) -> list[str]:
    """What most people look at first, as far as there is such."""
    wanted = [name for name in _FIRST if name in names]
    return wanted or list(names[:4])


def _read_new(
    registry: Registry, run: RunRecord, wanted: Mapping[str, int]
) -> dict[str, list[StretchPoint]]:
    """Metrics behind the steps that are known; whole ones in `POINTS` points."""
    found: dict[str, list[StretchPoint]] = {}
    ends = registry.metric_summaries([run.uuid], list(wanted))[run.uuid]
    for name, known in wanted.items():
        if name in ends and ends[name].last_step > known:
            steps = (known + 1, ends[name].last_step)
            found |= stretches(registry.database, run.uuid, [name], steps, POINTS)
    return found


def smooth(trace: Trace, weight: float) -> Trace:
    """Exponential moving average; the weight is that of the past.

    A running weight corrects the start, which would otherwise lean towards zero (Adam does so).
    """
    total = norm = 0.0
    values = []
    for value in trace.values:
        total, norm = weight * total + value, weight * norm + 1
        values.append(total / norm)
    return Trace(trace.run, trace.places, tuple(values), trace.averaged, trace.nonfinite)


def unit_of(name: str) -> str:
    """`share` where percent says more."""
    evaluated = name == "accuracy" or name.startswith("accuracy.") or name in _SHARES
    return "share" if evaluated or name.endswith(("_share", "_fraction")) else ""


def is_evaluated(name: str, curves: Sequence[RunCurves]) -> bool:
    """Whether a name stands for a figure of evaluations, few points that deserve a sign each."""
    return not any(name in one.metrics for one in curves)


def _by_grader(grader: str) -> Figure:
    return lambda evaluation: evaluation.accuracy_by_grader.get(grader)


def _share(name: str) -> Figure:
    def figure(evaluation: EvaluationRecord) -> float | None:
        whole = evaluation.numeric if name == "unparseable" else evaluation.n
        return getattr(evaluation, name) / whole if whole else None

    return figure
