"""A field of braille dots to draw lines on: each character holds two by four of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.text import Text

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
SHARED = "*"
"""Where lines of letters meet."""

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """How a line is drawn: in letters where `letter` is one, its points with `point`."""

    style: str
    letter: str
    point: str


class Grid:
    """Cells of 2 x 4 dots, each with the style of the line that was drawn last."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._dots = [[0] * width for _ in range(height)]
        self._signs = [[""] * width for _ in range(height)]
        self._styles = [[""] * width for _ in range(height)]

    def draw(self, places: Sequence[Place], look: Look) -> None:
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
        self._signs[row][column] = SHARED if shared else sign or before
        self._styles[row][column] = style


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The dots of a straight line, both ends included."""
    (x0, y0), (x1, y1) = start, end
    count = max(abs(x1 - x0), abs(y1 - y0), 1)
    for number in range(count + 1):
        yield x0 + round((x1 - x0) * number / count), y0 + round((y1 - y0) * number / count)
