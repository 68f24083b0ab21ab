"""Which curves a report shows, and which colour each run has in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.plots.curves import Axis, read_panels
from a5ctl.reports.drawing import Chart, draw_chart
from core.registry.records import EvaluationRecord, RunRecord
from core.registry.store import Registry

LOOKS = 28
"""Colours times dashes; the next line looks like the first again."""
_EVALUATED = ("accuracy", "unclosed")
_RECORDED = (
    *("loss", "reward", "margin", "entropy", "kl", "grad_norm", "response_tokens"),
    *("clip_fraction", "kept"),
)
_POINTS = 120
_MOST_CHARTS = 8


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """Runs that are drawn alike.

    Attributes:
        name: The setting, or the run where it is alone.
    """

    name: str
    look: int
    runs: tuple[str, ...]


def legend_of(groups: Sequence[tuple[str, Sequence[str]]]) -> tuple[LegendEntry, ...]:
    """One look for each group of run ids, in the order given."""
    return tuple(
        LegendEntry(name, number % LOOKS, tuple(runs)) for number, (name, runs) in enumerate(groups)
    )


def gather_charts(
    registry: Registry,
    runs: Sequence[RunRecord],
    evaluations: Sequence[EvaluationRecord],
    legend: Sequence[LegendEntry],
    metrics: Sequence[str] | None,
) -> tuple[Chart, ...]:
    """Draw the curves of these runs.

    Args:
        registry: Where they are.
        runs: Whose they are.
        evaluations: All of these runs; what has one evaluation a run is no curve.
        legend: Which colour a run has.
        metrics: What to draw; the usual ones that were recorded when None.

    Raises:
        UserError: a metric that was asked for is recorded by none of the runs.
    """
    names = list(metrics) if metrics is not None else _usual(registry, runs, evaluations)
    if not names or not runs:
        return ()
    looks = {run: entry.look for entry in legend for run in entry.runs}
    panels = read_panels(registry, runs, names, Axis.STEP, _POINTS)
    charts = [draw_chart(panel, Axis.STEP, looks) for panel in panels]
    return tuple(chart for chart in charts if chart is not None)


def _usual(
    registry: Registry, runs: Sequence[RunRecord], evaluations: Sequence[EvaluationRecord]
) -> list[str]:
    steps: dict[str, set[int]] = {}
    for one in evaluations:
        steps.setdefault(one.run_uuid, set()).add(one.step)
    moved = any(len(own) > 1 for own in steps.values())
    summaries = registry.metric_summaries([run.uuid for run in runs])
    known = {name for own in summaries.values() for name in own}
    names = [*(_EVALUATED if moved else ()), *(name for name in _RECORDED if name in known)]
    return names[:_MOST_CHARTS]
