"""Panels of runs: one per metric, one line per run, in few points made by the database."""

import difflib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

from a5ctl.format import first_of
from a5ctl.plots.evaluated import drawing_of, evaluated_lines, known_figures, length_caps
from a5ctl.plots.panels import Axis, Form, Line, Mark, Panel, Spot
from core.errors import UserError
from core.registry.records import CurvePoint, EvaluationRecord, RunRecord
from core.registry.store import Registry

_TOKENS = "tokens_total"
_UNITS = {
    "tokens_per_second": "tokens per second",
    "tokens": "tokens",
    _TOKENS: "tokens",
    "response_tokens": "tokens",
    "entropy": "nats",
    "kl": "nats",
}


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
            `formatted`, `unclosed`, `truncated`, `unparseable`, `types`, `lengths`. What was
            recorded comes first.
        axis: What runs along the bottom.
        points: At most so many per line.

    Returns:
        One panel per metric; of `types` one per run.

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
            drawn = {r.id: [_recorded(name, r, recorded[r.uuid], scales[r.uuid])] for r in runs}
            panels.append(_recorded_panel(name, runs, drawn))
            continue
        drawn = {
            r.id: evaluated_lines(name, r, evaluations, scales[r.uuid].of_evaluation) for r in runs
        }
        if not any(line.spots for lines in drawn.values() for line in lines):
            raise UserError(_unknown(registry, runs, name, evaluations))
        panels += _evaluated_panels(name, drawn, evaluations)
    return panels


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


def _recorded_panel(
    name: str, runs: Sequence[RunRecord], drawn: Mapping[str, Sequence[Line]]
) -> Panel:
    shown, missing = _shown(drawn)
    return Panel(name, _unit(name), False, shown, missing, marks=_clip(name, runs))


def _evaluated_panels(
    name: str, drawn: Mapping[str, Sequence[Line]], evaluations: Sequence[EvaluationRecord]
) -> list[Panel]:
    drawing = drawing_of(name)
    shown, missing = _shown(drawn)
    if drawing.form is Form.STACK:
        parts = [tuple(lines) for lines in drawn.values() if lines[0].spots]
        first = (missing, *[()] * len(parts))
        return [
            Panel(name, drawing.unit, True, lines, gone, form=drawing.form)
            for lines, gone in zip(parts, first, strict=False)
        ]
    marks = length_caps(evaluations) if drawing.form is Form.RANGE else ()
    return [Panel(name, drawing.unit, True, shown, missing, form=drawing.form, marks=marks)]


def _shown(drawn: Mapping[str, Iterable[Line]]) -> tuple[tuple[Line, ...], tuple[str, ...]]:
    """Lines that have something to show, and the runs that have none."""
    shown = tuple(line for lines in drawn.values() for line in lines if line.spots)
    found = {line.run for line in shown}
    return shown, tuple(run for run in drawn if run not in found)


def _recorded(
    name: str, run: RunRecord, curves: Mapping[str, list[CurvePoint]], scale: _Scale
) -> Line:
    curve = curves.get(name, [])
    spots = []
    for point, x in zip(curve, scale.of_metric(name, [p.step for p in curve]), strict=True):
        if x is not None and point.value is not None:
            low = point.value if point.lowest is None else point.lowest
            high = point.value if point.highest is None else point.highest
            spots.append(Spot(x, point.value, low, high, point.step))
    spots.sort(key=lambda spot: spot.x)
    return Line(run.id, tuple(spots), sum(point.nonfinite for point in curve))


def _clip(name: str, runs: Sequence[RunRecord]) -> tuple[Mark, ...]:
    """Where gradients are clipped, if that is one value for all runs."""
    if name != "grad_norm":
        return ()
    found = {run.config.get("train", {}).get("clip_norm") for run in runs}
    clip = found.pop()
    return (
        (Mark(f"clipped at {clip:g}", clip),) if isinstance(clip, int | float) and not found else ()
    )


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
    known = {found for own in summaries.values() for found in own} | known_figures(evaluations)
    who = f"run {runs[0].id} has" if len(runs) == 1 else "these runs have"
    if not known:
        return f"{who} recorded nothing yet; a5ctl ls shows where runs stand"
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"there are {first_of(sorted(known), 12)}"
    )
    return f"{who} no metric {name!r}; {hint}"
