"""One chart of characters in a given number of lines: what the widgets show of curves."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from rich.cells import cell_len
from rich.text import Text

from a5ctl.console import plain
from a5ctl.plots.axes import extent, figure, tick, ticks
from a5ctl.plots.dots import Grid, Look
from a5ctl.plots.panels import Axis
from a5ctl.tui.looks import styled
from a5ctl.tui.traces import Trace

LINE_COLOURS = ("#5aa9e6", "#e6a23c", "#4cc2a0", "#d58fc0", "#f07850", "#b8b04a")
_TIMES = ((3 * 3600.0, 3600.0, "h"), (300.0, 60.0, "min"), (0.0, 1.0, "s"))
_LOWEST = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """What one chart shows.

    Attributes:
        name: The metric.
        unit: `share` or nothing.
        remark: Beside the name.
        traces: The lines.
        dotted: Every point gets a sign.
        window: Left and right end of the axis; all of the lines where it is None.
    """

    name: str
    unit: str
    traces: tuple[Trace, ...]
    remark: str = ""
    dotted: bool = False
    window: tuple[float, float] | None = None
    axis: Axis = Axis.STEP


def draw(chart: Chart, width: int, height: int, *, letters: bool = False) -> list[Text]:
    """Exactly `height` lines: a title, the chart, and the axis below it.

    Args:
        chart: What to draw.
        width: Cells.
        height: Lines, at least five.
        letters: Lines are told apart by letters, where there are no colours.
    """
    tall = max(_LOWEST, height - 2)
    parts = [part for trace in chart.traces if (part := _visible(trace, chart.window))]
    if not parts:
        title = styled((chart.name, "bold"), ("  nothing to draw yet", "dim"))
        return [title, *(Text("") for _ in range(height - 1))]
    left, right = chart.window or extent([x for _, xs, _ in parts for x in xs])
    low, high = extent([y for _, _, ys in parts for y in ys])
    marks = {_line(v, low, high, tall): tick(v, chart.unit) for v in ticks(low, high, tall // 3)}
    margin = max(map(len, marks.values()), default=0)
    grid = Grid(max(8, width - margin - 2), tall)
    names = list(dict.fromkeys(trace.run for trace in chart.traces))
    span = right - left or 1.0
    for trace, xs, ys in parts:
        number = names.index(trace.run)
        letter = ascii_lowercase[number % 26] if letters and len(names) > 1 else ""
        point = (letter.upper() or "●") if chart.dotted else ""
        places = [
            ((x - left) / span, (y - low) / (high - low)) for x, y in zip(xs, ys, strict=True)
        ]
        grid.draw(places, Look(colour(number), letter, point))
    lines = [_title(chart, parts, names, width, letters=letters)]
    for number in range(tall):
        edge = f"{marks.get(number, '').rjust(margin)} {'┤' if number in marks else '│'}"
        lines.append(Text().append(edge, "dim").append_text(grid.row(number)))
    lines.append(Text(_scale(chart.axis, left, right, margin, grid.width), style="dim"))
    return [*lines, *(Text("") for _ in range(height - len(lines)))][:height]


def colour(number: int) -> str:
    """Of the line with this number."""
    return LINE_COLOURS[number % len(LINE_COLOURS)]


def whole_extent(traces: Sequence[Trace]) -> tuple[float, float]:
    """From the first to the last place of any line."""
    return extent([x for trace in traces for x in (trace.places[0], trace.places[-1])])


Part = tuple[Trace, Sequence[float], Sequence[float]]


def _visible(trace: Trace, window: tuple[float, float] | None) -> Part | None:
    """The part of a line inside the window, cut where the line crosses its ends."""
    if window is None:
        return trace, trace.places, trace.values
    left, right = window
    begin, end = bisect_left(trace.places, left), bisect_right(trace.places, right)
    xs, ys = list(trace.places[begin:end]), list(trace.values[begin:end])
    if 0 < begin < len(trace.places):
        xs.insert(0, left)
        ys.insert(0, _between(trace, begin, left))
    if 0 < end < len(trace.places):
        xs.append(right)
        ys.append(_between(trace, end, right))
    return (trace, xs, ys) if xs else None


def _between(trace: Trace, behind: int, place: float) -> float:
    (x0, x1), (y0, y1) = (
        trace.places[behind - 1 : behind + 1],
        trace.values[behind - 1 : behind + 1],
    )
    return y0 + (y1 - y0) * (place - x0) / (x1 - x0) if x1 > x0 else y1


def _line(value: float, low: float, high: float, height: int) -> int:
    return round((1 - (value - low) / (high - low)) * (4 * height - 1)) // 4


def _title(
    chart: Chart, parts: Sequence[Part], names: Sequence[str], width: int, *, letters: bool
) -> Text:
    text = styled((chart.name, "bold"), (chart.remark, "dim"))
    for trace, _, ys in parts:
        number = names.index(trace.run)
        sign = ascii_lowercase[number % 26] if letters else "━"
        text.append("   ")
        if len(names) > 1:
            text.append(f"{sign} ", colour(number)).append_text(plain(f"{trace.run} ", "dim"))
        text.append(figure(ys[-1], chart.unit), style="bold")
        if len(names) == 1:
            low, high = figure(min(ys), chart.unit), figure(max(ys), chart.unit)
            text.append(f"  {low} to {high}", style="dim")
        if trace.nonfinite:
            text.append(f"  {trace.nonfinite:,} not finite", style="bold")
    text.truncate(width, overflow="ellipsis")
    return text


def _scale(axis: Axis, left: float, right: float, margin: int, width: int) -> str:
    """First and last place, with what they count between them."""
    unit, title = 1.0, str(axis)
    if axis is Axis.TIME:
        unit, title = next((unit, name) for least, unit, name in _TIMES if right >= least)
    first, last = figure(left / unit), figure(right / unit)
    room = width - cell_len(first) - cell_len(last)
    return f"{' ' * margin} └{first}{f' {title} '.center(max(0, room), '─')}{last}"
