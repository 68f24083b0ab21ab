"""Panels as charts of characters: braille dots in colours, letters where there are none."""

from collections.abc import Sequence
from string import ascii_lowercase

from rich.console import Console
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.plots.axes import Bottom, bottom_axis, extent, figure, last_and_ends, tick, ticks
from a5ctl.plots.bars import print_bars
from a5ctl.plots.dots import SHARED, Grid, Look
from a5ctl.plots.panels import FEWEST_FOR_A_BAND, Axis, Form, Line, Panel
from a5ctl.tables.fit import line_width

_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
_WIDEST, _NARROWEST = 160, 24
_TALL, _LOW = 16, 10


def print_charts(console: Console, panels: Sequence[Panel], axis: Axis) -> None:
    """One chart below the other, each with what its lines are."""
    bottom = bottom_axis(axis, panels)
    width = max(_NARROWEST, min(_WIDEST, line_width(console), console.width))
    for number, panel in enumerate(panels):
        if number:
            console.print()
        if panel.form is Form.STACK:
            print_bars(console, panel, bottom, width)
        else:
            _print_chart(console, panel, bottom, width, _TALL if len(panels) == 1 else _LOW)


def _print_chart(console: Console, panel: Panel, bottom: Bottom, width: int, height: int) -> None:
    spots = [spot for line in panel.lines for spot in line.spots]
    if not spots:
        console.print(plain(f"{panel.metric}: no value that can be drawn", "yellow"))
        return
    left, right = extent([spot.x / bottom.unit for spot in spots])
    ranged = panel.form is Form.RANGE
    low, high = extent([value for s in spots for value in ((s.y, s.high) if ranged else (s.y,))])
    marks = {
        _row(value, low, high, height): tick(value, panel.unit)
        for value in ticks(low, high, height // 3)
    }
    margin = max(map(len, marks.values()), default=0)
    grid = Grid(max(8, width - margin - 2), height)
    letters = console.color_system is None and len(panel.lines) > 1
    for number, line in enumerate(panel.lines):
        look = _look(panel, number, letters=letters)
        for values in ([s.high for s in line.spots] if ranged else (), [s.y for s in line.spots]):
            xs = [(spot.x / bottom.unit - left) / (right - left) for spot in line.spots]
            ys = [(value - low) / (high - low) for value in values]
            grid.draw(list(zip(xs, ys, strict=False)), look)
    unit = f" ({panel.unit})" if panel.unit not in ("", "share") else ""
    fixed = "".join(f", {mark.label}" for mark in panel.marks)
    rest = plain(panel.remark + unit + fixed, "not bold")
    console.print(plain(panel.title, "bold").append_text(rest))
    for number in range(height):
        edge = f"{marks.get(number, '').rjust(margin)} {'┤' if number in marks else '│'}"
        console.print(Text().append(edge, "dim").append_text(grid.row(number)), crop=True)
    console.print(Text(f"{' ' * margin} └{'─' * grid.width}", style="dim"))
    console.print(Text(_scale(left, right, bottom.title, margin + 2, grid.width), style="dim"))
    console.print(_legend(panel, letters=letters))
    if letters:
        console.print(Text(f"{SHARED}  several lines", style="dim"))


def _look(panel: Panel, number: int, *, letters: bool) -> Look:
    letter = _letter(number) if letters else ""
    point = (letter.upper() or "●") if panel.evaluated else ""
    return Look(_colour(number), letter, point)


def _row(value: float, low: float, high: float, height: int) -> int:
    return round((1 - (value - low) / (high - low)) * (4 * height - 1)) // 4


def _scale(left: float, right: float, title: str, margin: int, width: int) -> str:
    """First and last place with the title between them."""
    first, last = figure(left), figure(right)
    middle = title if len(title) + len(first) + len(last) + 4 <= width else ""
    return " " * margin + first + middle.center(width - len(first) - len(last)) + last


def _legend(panel: Panel, *, letters: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for number, line in enumerate(panel.lines):
        mark = Text(_letter(number) if letters else "──", style=_colour(number))
        label = "" if line.run in line.label else line.label
        table.add_row(mark, plain(line.run), plain(label), *_words(panel, line))
    return table


def _words(panel: Panel, line: Line) -> tuple[Text, Text]:
    last, lowest, highest = last_and_ends(line)
    low, high = figure(lowest, panel.unit), figure(highest, panel.unit)
    end = line.spots[-1]
    rest = f"from {low} to {high}"
    if panel.form is Form.RANGE:
        rest = f"90th percentile {figure(end.high)}"
    elif len(line.seeds) >= FEWEST_FOR_A_BAND or (panel.evaluated and not line.seeds):
        rest = f"95% [{figure(end.low, panel.unit)}, {figure(end.high, panel.unit)}]"
    elif line.seeds:
        rest = "mean"
    if line.nonfinite:
        rest += f", {line.nonfinite:,} not finite"
    return Text(figure(last, panel.unit)), Text(rest, style="dim")


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _letter(number: int) -> str:
    return ascii_lowercase[number % len(ascii_lowercase)]
