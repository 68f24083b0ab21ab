"""Figures of evaluations as lines: shares with their intervals, types, lengths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from a5ctl.figures import ACCURACY, SHARES, TYPES, figure_of
from a5ctl.plots.panels import Form, Line, Mark, Spot
from core.registry.records import EvaluationRecord, RunRecord

KINDS = ("types", "lengths")
"""Names that stand for several figures of evaluations at once."""

Place = Callable[[EvaluationRecord], float | None]


@dataclass(frozen=True, slots=True)
class Drawing:
    """How a figure of evaluations is drawn, and the parts it has."""

    form: Form
    unit: str
    parts: tuple[str, ...] = ("",)


def drawing_of(name: str) -> Drawing:
    """How a figure of this name is drawn."""
    if name == "types":
        return Drawing(Form.STACK, "share", TYPES)
    return Drawing(Form.RANGE, "tokens") if name == "lengths" else Drawing(Form.LINES, "share")


def evaluated_lines(
    name: str, run: RunRecord, evaluations: Sequence[EvaluationRecord], place: Place
) -> list[Line]:
    """A line for every part of a figure; without spots where the run has none."""
    own = [(e, place(e)) for e in evaluations if e.run_uuid == run.uuid]
    lines = []
    for part in drawing_of(name).parts:
        by_x = {}
        for one, x in own:
            found = figure_of(one, part or name)
            if found is not None and x is not None:
                by_x[x] = Spot(x, *found, step=one.step)  # of several at one step the newest
        lines.append(Line(run.id, tuple(by_x[x] for x in sorted(by_x)), part=part))
    return lines


def length_caps(evaluations: Sequence[EvaluationRecord]) -> tuple[Mark, ...]:
    """What stopped responses that would have gone on."""
    caps = {e.protocol.get("max_tokens") for e in evaluations}
    return tuple(Mark(f"cap {cap}", cap) for cap in sorted(c for c in caps if isinstance(c, int)))


def known_figures(evaluations: Sequence[EvaluationRecord]) -> set[str]:
    """Every name that these evaluations have a figure of."""
    if not evaluations:
        return set()
    graders = {f"{ACCURACY}.{g}" for e in evaluations for g in e.accuracy_by_grader}
    return {ACCURACY, *SHARES, *TYPES, *KINDS, *graders}
