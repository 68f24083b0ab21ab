"""Panels drawn with Matplotlib: readable in a column of print, in grey and by colour-blind eyes.

Lines differ in colour, dashes and markers at once; seeds are thin lines behind their mean.
"""

import math
import textwrap
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from a5ctl.console import printable
from a5ctl.plots.axes import Bottom, bottom_axis, extent
from a5ctl.plots.panels import Axis, Form, Line, Mark, Panel, stacks
from a5ctl.plots.sizes import PictureSize

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

# told apart with every common colour blindness (Okabe and Ito 2008)
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_PARTS = {
    "type1": ("#0072B2", "", "type1: formatted, right"),
    "type2": ("#E69F00", "", "type2: formatted, wrong"),
    "type3": ("#E0E0E0", "////", "type3: not formatted"),
}
_MARK: dict[str, Any] = {"color": "#555555", "linestyle": (0, (3, 2)), "linewidth": 1.0}
_BAND, _MANY_BANDS = 0.16, 0.08
_MANY = 4
_BAR = 0.035
_MARKERS_PER_LINE = 8
_MOST_TIMES_A_LINE = 2.0
"""A mark further above the lines than so many times their height is told, not drawn."""
_SPIKY = 20.0
"""Largest by median value from which an axis of gradient norms is logarithmic."""
_LONGEST_LABEL = 48


def draw_panels(
    panels: Sequence[Panel], axis: Axis, size: PictureSize, title: str = ""
) -> "Figure":
    """One figure of all panels, one row for each, with one legend."""
    from matplotlib.figure import Figure

    rows = [part for row in stacks(panels) for part in _wrapped(row, size.beside)]
    styles = {run: n for n, run in enumerate(dict.fromkeys(_names(panels)))}
    handles, columns = _legend(panels, styles, size)
    height = size.height_of(len(rows), -(-len(handles) // columns), titled=bool(title))
    figure = Figure(figsize=(size.width, height), layout="constrained")
    bottom = bottom_axis(axis, panels)
    limits = _limits(panels, bottom)
    grid = figure.add_gridspec(len(rows), math.lcm(*(beside for _, beside in rows)))
    for number, (row, beside) in enumerate(rows):
        wide = grid.ncols // beside
        for place, panel in enumerate(row):
            drawn = figure.add_subplot(grid[number, place * wide : (place + 1) * wide])
            _draw_panel(drawn, panel, styles, bottom, limits)
            _label(drawn, panel, size, beside)
            _tick_bottom(drawn, axis)
            if number == len(rows) - 1:
                drawn.set_xlabel(bottom.title if beside == 1 else bottom.title.split(" (")[0])
            if place:
                drawn.set_ylabel("")
                drawn.tick_params(labelleft=False)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    if title:
        figure.suptitle(printable(title), fontweight="bold", fontsize=size.font + 1)
    return figure


def _wrapped(row: Sequence[Panel], beside: int) -> list[tuple[Sequence[Panel], int]]:
    """A row in pieces that fit, each with the number of places it has."""
    places = min(len(row), beside)
    return [(row[start : start + places], places) for start in range(0, len(row), places)]


def _names(panels: Sequence[Panel]) -> list[str]:
    return [line.words for p in panels if p.form is not Form.STACK for line in p.lines]


def _limits(panels: Sequence[Panel], bottom: Bottom) -> tuple[float, float]:
    """Ends of the bottom axis, the same for all panels; seeds go further than means."""
    every = [s.x / bottom.unit for p in panels for line in p.lines for s in _all_spots(line)]
    low, high = extent(every) if every else (0.0, 1.0)
    return low - 0.02 * (high - low), high + 0.02 * (high - low)


def _all_spots(line: Line) -> list[Any]:
    return [*line.spots, *(spot for seed in line.seeds for spot in seed.spots)]


def _draw_panel(
    place: Any,
    panel: Panel,
    styles: dict[str, int],
    bottom: Bottom,
    limits: tuple[float, float],
) -> None:
    if panel.form is Form.STACK:
        _stack(place, panel, bottom, _BAR * (limits[1] - limits[0]))
    else:
        for line in panel.lines:
            _draw_line(place, panel, line, styles[line.words], bottom)
    for mark in panel.marks:
        if _near(mark, panel):
            place.axhline(mark.value, zorder=1.5, **_MARK)
    place.set_xlim(*limits)


def _draw_line(place: Any, panel: Panel, line: Line, number: int, bottom: Bottom) -> None:
    look = _look(number, marked=True)
    look["markevery"] = 1 if panel.evaluated else max(1, len(line.spots) // _MARKERS_PER_LINE)
    for seed in line.seeds:
        xs, ys = ([getattr(s, name) for s in seed.spots] for name in ("x", "y"))
        place.plot([x / bottom.unit for x in xs], ys, color=look["color"], lw=0.5, alpha=0.5)
    xs = [spot.x / bottom.unit for spot in line.spots]
    ys, lows, highs = ([getattr(s, name) for s in line.spots] for name in ("y", "low", "high"))
    if len(xs) == 1:
        around = [[max(0.0, ys[0] - lows[0])], [max(0.0, highs[0] - ys[0])]]
        place.errorbar(xs, ys, yerr=around, capsize=2.5, elinewidth=0.8, **look)
        return
    place.plot(xs, ys, **look)
    alpha = _BAND if len(panel.lines) < _MANY else _MANY_BANDS
    place.fill_between(xs, lows, highs, color=look["color"], alpha=alpha, linewidth=0)
    if panel.form is Form.RANGE:
        place.plot(xs, highs, color=look["color"], linestyle=look["linestyle"], linewidth=0.7)


def _stack(place: Any, panel: Panel, bottom: Bottom, width: float) -> None:
    """Areas between evaluations; of a single one a bar so wide."""
    xs = [spot.x / bottom.unit for spot in panel.lines[0].spots]
    below = [0.0] * len(xs)
    for line in panel.lines:
        colour, hatch, _ = _PARTS[line.part]
        above = [low + spot.y for low, spot in zip(below, line.spots, strict=True)]
        look = {"facecolor": colour, "hatch": hatch, "edgecolor": "white", "linewidth": 0.6}
        if len(xs) == 1:
            place.bar(xs, [above[0] - below[0]], bottom=below, width=width, **look)
        else:
            place.fill_between(xs, below, above, **look)
        below = above
    if len(xs) > 1:
        for x in xs:
            place.plot([x, x], [1.0, 1.015], color="#333333", lw=0.6, clip_on=False)
    place.set_ylim(0, 1)
    place.grid(False)


def _near(mark: Mark, panel: Panel) -> bool:
    highest = max((spot.high for line in panel.lines for spot in line.spots), default=0.0)
    return 0 < mark.value <= _MOST_TIMES_A_LINE * highest


def _label(place: Any, panel: Panel, size: PictureSize, beside: int) -> None:
    from matplotlib.ticker import NullFormatter, PercentFormatter

    far = "".join(f", {mark.label} lies above" for mark in panel.marks if _far(mark, panel))
    whose = panel.lines[0].words if beside > 1 else panel.title
    name = printable(whose)[: 2 * _LONGEST_LABEL]
    place.set_title(textwrap.fill(f"{name}{panel.remark}{far}", size.letters // beside), loc="left")
    if panel.unit == "share":
        place.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        place.set_ylabel("share of responses" if panel.evaluated else "share")
    else:
        place.set_ylabel(panel.unit or printable(panel.metric)[:_LONGEST_LABEL])
    if panel.metric == "grad_norm" and _spiky(panel):
        place.set_yscale("log")
        place.yaxis.set_major_formatter("{x:g}")
        place.yaxis.set_minor_formatter(NullFormatter())
        values = _values(panel)
        place.set_ylim(min(values) / 1.3, max(values) * 1.3)
    elif panel.form is Form.RANGE or panel.unit == "share":
        place.set_ylim(bottom=0)


def _far(mark: Mark, panel: Panel) -> bool:
    return panel.form is Form.RANGE and not _near(mark, panel)


def _spiky(panel: Panel) -> bool:
    values = _values(panel)
    return min(values, default=0.0) > 0 and max(values) > _SPIKY * median(values)


def _values(panel: Panel) -> list[float]:
    """All that is drawn as a line, or as the extremes of one run."""
    runs = [seed for line in panel.lines for seed in (line.seeds or (line,))]
    return [value for line in runs for s in line.spots for value in (s.low, s.high)]


def _tick_bottom(place: Any, axis: Axis) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    place.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=axis is Axis.STEP))
    if axis is Axis.TOKENS:
        place.xaxis.set_major_formatter(EngFormatter(sep=""))


def _look(number: int, *, marked: bool) -> dict[str, Any]:
    look: dict[str, Any] = {"color": _COLOURS[number % len(_COLOURS)], "linewidth": 1.3}
    look["linestyle"] = _DASHES[number % len(_DASHES)]
    if marked:
        look |= {"marker": _MARKERS[number % len(_MARKERS)], "markersize": 4}
    return look


def _legend(
    panels: Sequence[Panel], styles: dict[str, int], size: PictureSize
) -> "tuple[list[Artist], int]":
    """What stands in it, and in how many columns it fits."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Line2D([], [], label=_cut(words), **_look(number, marked=True))
        for words, number in styles.items()
    ]
    marks = {m.label for p in panels for m in p.marks if _near(m, p)}
    handles += [Line2D([], [], label=printable(label), **_MARK) for label in sorted(marks)]
    parts = {line.part for p in panels if p.form is Form.STACK for line in p.lines}
    for part, (colour, hatch, label) in _PARTS.items():
        if part in parts:
            patch = Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=label)
            handles.append(patch)
    longest = max((len(handle.get_label()) for handle in handles), default=1)
    return handles, max(1, min(len(handles), size.columns_of(longest)))


def _cut(words: str) -> str:
    text = printable(words)
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 1] + "…"
