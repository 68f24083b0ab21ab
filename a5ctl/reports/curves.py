"""Which curves a report shows, and which colour each setting has in them."""

from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.plots.curves import read_panels
from a5ctl.plots.labels import Drawn, drawn_together
from a5ctl.plots.panels import Axis, Form, Panel
from a5ctl.plots.seeds import with_seeds_merged
from a5ctl.reports.drawing import Chart, draw_chart
from core.errors import UserError
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
    """What is drawn alike: a run, or the seeds of one setting.

    Attributes:
        look: Number of the colour and the dash.
    """

    name: str
    look: int


@dataclass(frozen=True, slots=True)
class Curves:
    """All charts with their common legend."""

    legend: tuple[LegendEntry, ...]
    charts: tuple[Chart, ...]


def gather_curves(
    registry: Registry,
    runs: Sequence[RunRecord],
    evaluations: Sequence[EvaluationRecord],
    metrics: Sequence[str] | None,
) -> Curves:
    """Draw the curves of these runs; seeds of one setting as their mean.

    Args:
        registry: Where they are.
        runs: Whose they are, in the order of the legend.
        evaluations: All of these runs; where each run has one only, it is no curve.
        metrics: What to draw; the usual ones that were recorded when None.

    Raises:
        UserError: a metric that was asked for is recorded by none of the runs, or no line.
    """
    names = list(metrics) if metrics is not None else _usual(registry, runs, evaluations)
    if not names or not runs:
        return Curves((), ())
    together = drawn_together(registry, runs)
    panels = read_panels(registry, runs, names, Axis.STEP, _POINTS)
    _refuse_stacks(panels)
    panels = with_seeds_merged(panels, together, _POINTS)
    looks = {
        name: number % LOOKS
        for number, one in enumerate(together)
        for name in (one.label or one.name, *one.runs)
    }
    charts = [draw_chart(panel, Axis.STEP, looks) for panel in panels]
    legend = tuple(LegendEntry(_words(one), looks[one.label or one.name]) for one in together)
    return Curves(legend, tuple(chart for chart in charts if chart is not None))


def _words(one: Drawn) -> str:
    seeds = f" ({len(one.runs)} seeds)" if len(one.runs) > 1 else ""
    return f"{one.label}{seeds}" if one.label else one.name


def _refuse_stacks(panels: Sequence[Panel]) -> None:
    for panel in panels:
        if panel.form is Form.STACK:
            raise UserError(
                f"--metric {panel.metric} is no line; a report shows what became of the responses "
                "in its failures, so leave it out"
            )


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
