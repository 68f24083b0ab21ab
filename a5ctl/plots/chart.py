"""Panels as charts of characters: braille dots in colours, letters where there are none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from string import ascii_lowercase

from rich.console import Console
from rich.table import Table
from rich.text import Text

from a5ctl.console import plain
from a5ctl.plots.axes import Bottom, bottom_axis, extent, figure, last_and_ends, tick, ticks
from a5ctl.plots.bars import print_bars
from a5ctl.plots.panels import FEWEST_FOR_A_BAND, Axis, Form, Line, Panel
from a5ctl.tables.fit import line_width

_COLOURS = ("cyan", "yellow", "magenta", "green", "red", "blue")
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_SHARED = "*"
_WIDEST, _NARROWEST = 160, 24
_TALL, _LOW = 16, 10


Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Look:
    """How a line is drawn: in letters where `letter` is one, its points with `point`."""

    style: str
    letter: str
    point: str


class _Grid:
    """Cells of 2 x 4 dots, each with the style of the line that was drawn last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._signs = [[""] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def draw(self, places: Sequence[Place], look: _Look) -> None:
        """A line through places in 0..1 x 0..1, (0, 0) at the bottom left."""
        dots = [
            (round(x * (2 * self.width - 1)), round((1 - y) * (4 * self.height - 1)))
            for x, y in places
        ]
        for start, end in pairwise(dots if len(dots) > 1 else dots * 2):
            for x, y in _between(start, end):
                self._set(x, y, look.style, look.letter)
        for x, y in dots if look.point else ():
            self._set(x, y, look.style, look.point)

    def row(self, number: int) -> Text:
        """One line of characters."""
        text = Text()
        cells = zip(self._dots[number], self._signs[number], self._styles[number], strict=True)
        for dots, sign, style in cells:
            text.append(sign or (chr(0x2800 + dots) if dots else " "), style=style or None)
        return text

    def _set(self, x: int, y: int, style: str, sign: str) -> None:
        row, column = y // 4, x // 2
        before = self._signs[row][column]
        self._dots[row][column] |= _DOTS[y % 4][x % 2]
        shared = before and sign and before.lower() != sign.lower()
        self._signs[row][column] = _SHARED if shared else sign or before
        self._styles[row][column] = style


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
    grid = _Grid(max(8, width - margin - 2), height)
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
        console.print(Text(f"{_SHARED}  several lines", style="dim"))


def _look(panel: Panel, number: int, *, letters: bool) -> _Look:
    letter = _letter(number) if letters else ""
    point = (letter.upper() or "●") if panel.evaluated else ""
    return _Look(_colour(number), letter, point)


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


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots of a straight line, both ends included."""
    (x0, y0), (x1, y1) = start, end
    count = max(abs(x1 - x0), abs(y1 - y0), 1)
    for number in range(count + 1):
        yield x0 + round((x1 - x0) * number / count), y0 + round((y1 - y0) * number / count)
