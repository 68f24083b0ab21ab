"""Curves as geometry: what an inline SVG needs, in whole numbers of a few, without any style.

Matplotlib's SVG carries style attributes, which the page's policy refuses, and colours that do
not follow the page's theme; so pictures on the page are drawn from the same panels by themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a5ctl.format import count
from a5ctl.plots.axes import Bottom, bottom_axis, extent, figure, tick, ticks
from a5ctl.plots.panels import Axis, Form, Line, Panel, Spot
from a5ctl.reports.content import Cell, Table
from a5ctl.tables.steps_view import evenly

WIDTH, HEIGHT = 420, 240
LEFT, RIGHT, TOP, FOOT = 52, 14, 10, 42
MOST_BANDS = 6
"""With more lines than that, bands would hide them."""
_PLOT_WIDTH, _PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - FOOT
_ROWS = 16  # of the table beside a chart, for each of its lines
_SPIKE = 4.0  # bands that reach so many times further than the lines are cut


@dataclass(frozen=True, slots=True)
class Mark:
    """One evaluation: its point, and the ends of its interval."""

    x: float
    y: float
    low: float
    high: float
    words: str


@dataclass(frozen=True, slots=True)
class Stroke:
    """One line.

    Attributes:
        name: What the legend calls it.
        look: Number of the colour; lines of one setting share it.
        path: SVG path of the line.
        band: SVG path around all values; empty where a point is one value.
        marks: Evaluations; none for what is recorded at every step.
    """

    name: str
    look: int
    path: str
    band: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """A round value and where it stands."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric.

    Attributes:
        remark: What the values are, in words.
        summary: What the picture shows, for those who do not see it.
    """

    metric: str
    remark: str
    summary: str
    bottom: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]
    strokes: tuple[Stroke, ...]
    data: Table


@dataclass(frozen=True, slots=True)
class _Frame:
    """How values become places inside the plot."""

    left: float
    right: float
    low: float
    high: float
    unit: float

    def x(self, value: float) -> float:
        return round(_PLOT_WIDTH * (value / self.unit - self.left) / (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Beyond the plot by a little at most: what lies there is cut, and stays a small number."""
        part = (value - self.low) / (self.high - self.low)
        return round(_PLOT_HEIGHT * (1 - min(2.0, max(-1.0, part))), 1)


def draw_chart(panel: Panel, axis: Axis, looks: Mapping[str, int]) -> Chart | None:
    """Lay a panel out; None where it has nothing to draw.

    Args:
        panel: What to draw.
        axis: What runs along the bottom.
        looks: Number of the colour by label of a line, or by run id where it has none.
    """
    spots = [spot for line in panel.lines for spot in line.spots]
    if not spots:
        return None
    bottom = bottom_axis(axis, [panel])
    left, right = extent([spot.x / bottom.unit for spot in spots])
    low, high = _heights(panel, spots)
    frame = _Frame(left, right, low, high, bottom.unit)
    strokes = tuple(
        _stroke(line, panel, frame, looks.get(line.label or line.run, 0)) for line in panel.lines
    )
    return Chart(
        metric=panel.metric,
        remark=_remark(panel, banded=len(panel.lines) <= MOST_BANDS),
        summary=_summary(panel, bottom),
        bottom=bottom.title,
        across=tuple(
            Tick(frame.x(value * bottom.unit), figure(value)) for value in ticks(left, right, 5)
        ),
        up=tuple(Tick(frame.y(value), tick(value, panel.unit)) for value in ticks(low, high, 5)),
        strokes=strokes,
        data=_table(panel, bottom),
    )


def _heights(panel: Panel, spots: Sequence[Spot]) -> tuple[float, float]:
    low, high = extent([spot.y for spot in spots])
    lowest, highest = min(s.low for s in spots), max(s.high for s in spots)
    if panel.evaluated or highest - lowest <= _SPIKE * (high - low):
        low, high = min(low, lowest), max(high, highest)
    if panel.unit == "share":
        return max(0.0, low), min(1.0, high) if high > max(0.0, low) else high
    return low, high


def _stroke(line: Line, panel: Panel, frame: _Frame, look: int) -> Stroke:
    places = [(frame.x(spot.x), frame.y(spot.y)) for spot in line.spots]
    band = ""
    banded = not panel.evaluated or panel.form is Form.RANGE
    if banded and any(spot.low < spot.high for spot in line.spots):
        upper = [(frame.x(spot.x), frame.y(spot.high)) for spot in line.spots]
        lower = [(frame.x(spot.x), frame.y(spot.low)) for spot in reversed(line.spots)]
        band = f"{_path([*upper, *lower])}Z"
    alone = (panel.evaluated and panel.form is Form.LINES) or len(line.spots) == 1
    marks = tuple(_mark(line.words, panel, spot, frame) for spot in line.spots) if alone else ()
    return Stroke(line.words, look, _path(places), band, marks)


def _mark(run: str, panel: Panel, spot: Spot, frame: _Frame) -> Mark:
    words = f"{run} at {figure(spot.x)}: {figure(spot.y, panel.unit)}"
    if panel.evaluated:
        words += f" [{figure(spot.low, panel.unit)}, {figure(spot.high, panel.unit)}]"
    return Mark(frame.x(spot.x), frame.y(spot.y), frame.y(spot.low), frame.y(spot.high), words)


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places)


def _remark(panel: Panel, *, banded: bool) -> str:
    """What the values are, and what stands around them."""
    told = panel.remark.removeprefix(", ")
    unit = "share of responses" if panel.evaluated and panel.unit == "share" else panel.unit
    if told or panel.evaluated:
        return ", ".join(part for part in (unit, told) if part)
    around = "means of neighbouring steps" + (", around them their extremes" if banded else "")
    return f"{unit}; {around}" if unit else around


def _summary(panel: Panel, bottom: Bottom) -> str:
    parts = [
        f"{line.words} from {figure(line.spots[0].y, panel.unit)} to "
        f"{figure(line.spots[-1].y, panel.unit)}"
        + (f", {count(line.nonfinite)} values not finite" if line.nonfinite else "")
        for line in panel.lines
    ]
    return f"{panel.metric} over {bottom.title}: {'; '.join(parts)}."


def _table(panel: Panel, bottom: Bottom) -> Table:
    by_run = [{spot.x: spot for spot in line.spots} for line in panel.lines]
    sampled = {
        line.spots[place].x for line in panel.lines for place in evenly(len(line.spots), _ROWS)
    }
    rows = [
        (
            Cell(count(x) if bottom.unit == 1 else figure(x / bottom.unit)),
            *(Cell(_value(own.get(x), panel)) for own in by_run),
        )
        for x in sorted(sampled)
    ]
    return Table(
        caption=f"{panel.metric} at chosen places of {bottom.title}.",
        headers=(bottom.title.partition(" (")[0], *(line.words for line in panel.lines)),
        rows=tuple(rows),
        numeric=frozenset(range(len(panel.lines) + 1)),
    )


def _value(spot: Spot | None, panel: Panel) -> str:
    if spot is None:
        return "-"
    text = figure(spot.y, panel.unit)
    if panel.evaluated:
        text += f" [{figure(spot.low, panel.unit)}, {figure(spot.high, panel.unit)}]"
    return text
