"""What a plot shows: panels of lines of spots."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

FEWEST_FOR_A_BAND = 3
"""Two seeds say next to nothing about how far seeds differ: their interval is 13 errors wide."""


class Axis(StrEnum):
    """What runs along the bottom."""

    STEP = "step"
    TIME = "time"
    TOKENS = "tokens"


class Form(StrEnum):
    """How the lines of a panel are drawn."""

    LINES = "lines"
    """Each by itself; around it the extremes of its values, or a 95% interval."""
    RANGE = "range"
    """Each with what lies between it and a higher one: the median and the 90th percentile."""
    STACK = "stack"
    """On top of each other: parts of a whole."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One point.

    Attributes:
        low, high: The extremes of its values, a 95% interval, or the ends of a range.
        step: Optimizer updates done, whatever runs along the bottom.
    """

    x: float
    y: float
    low: float
    high: float
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One curve by ascending x: a metric of one run, or its mean over seeds.

    Attributes:
        run: Id of the run, or the name of a setting.
        nonfinite: Values that cannot be drawn.
        label: The settings that tell it from the other lines; empty where nothing does.
        part: Which part of the whole it is, where a panel stacks them: `type1`.
        seeds: The lines of the runs behind a mean; empty for a run. With `FEWEST_FOR_A_BAND` or
            more of them `low` and `high` are Student's 95% interval of the mean.
    """

    run: str
    spots: tuple[Spot, ...]
    nonfinite: int = 0
    label: str = ""
    part: str = ""
    seeds: "tuple[Line, ...]" = ()

    @property
    def words(self) -> str:
        """What a legend calls it."""
        if not self.label:
            return self.run
        return f"{self.label} ({len(self.seeds)} seeds)" if self.seeds else self.label


@dataclass(frozen=True, slots=True)
class Mark:
    """A fixed value to hold lines against, such as the length cap."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class Panel:
    """One metric.

    Attributes:
        unit: Of its values; empty where it has none.
        evaluated: Its points are evaluations.
        missing: Ids of runs that have nothing to show.
        smooth: Weight of the past in the values; 0 where they are as they were.
        marks: Values to hold the lines against.
    """

    metric: str
    unit: str
    evaluated: bool
    lines: tuple[Line, ...]
    missing: tuple[str, ...] = ()
    smooth: float = 0.0
    form: Form = Form.LINES
    marks: tuple[Mark, ...] = ()

    @property
    def title(self) -> str:
        """What it is called; parts of a whole belong to somebody."""
        whose = self.lines[0].words if self.form is Form.STACK and self.lines else ""
        return f"{self.metric}: {whose}" if whose else self.metric

    @property
    def remark(self) -> str:
        """What a title has to say beside the name."""
        parts = [f"smoothed by {self.smooth:g}"] if self.smooth else []
        if self.form is Form.RANGE:
            parts.append("median to 90th percentile")
        elif self.form is Form.LINES and any(line.seeds for line in self.lines):
            parts.append("mean of seeds" + (", 95% t interval" if self._banded else ""))
        elif self.evaluated and self.form is Form.LINES:
            parts.append("95% interval")
        return "".join(f", {part}" for part in parts)

    @property
    def _banded(self) -> bool:
        return any(len(line.seeds) >= FEWEST_FOR_A_BAND for line in self.lines)


def smoothed(panel: Panel, weight: float) -> Panel:
    """Exponential moving averages (the weight is that of the past); evaluations stay as they are.

    A running weight corrects the start, which would otherwise lean towards zero (Adam does so).
    """
    if panel.evaluated or weight == 0:
        return panel
    lines = tuple(_smooth_line(line, weight) for line in panel.lines)
    return replace(panel, lines=lines, smooth=weight)


def stacks(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Panels in rows: those that stack one metric of several lines stand side by side."""
    rows: list[list[Panel]] = []
    for panel in panels:
        beside = rows and rows[-1][0].metric == panel.metric and panel.form is Form.STACK
        rows[-1].append(panel) if beside else rows.append([panel])
    return rows


def _smooth_line(line: Line, weight: float) -> Line:
    total = norm = 0.0
    spots = []
    for spot in line.spots:
        total, norm = weight * total + spot.y, weight * norm + 1
        spots.append(replace(spot, y=total / norm))
    return replace(line, spots=tuple(spots))
