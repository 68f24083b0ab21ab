"""Tables that fit the terminal: when it is narrow, the least important columns go first."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

_GAP = 2
_UNBOUNDED = 100_000


@dataclass(frozen=True)
class FitColumn:
    """One column.

    Attributes:
        header: Its title.
        cells: One text per row, of one style and one line.
        importance: The column with the smallest one is dropped first.
        right: Align to the right.
        elastic: May be cut with an ellipsis before anything is dropped, down to this many cells.
    """

    header: str
    cells: Sequence[Text]
    importance: int
    right: bool = False
    elastic: int | None = None

    @cached_property
    def width(self) -> int:
        """Cells of the widest line."""
        return max([cell_len(self.header), *(cell_len(_one_line(cell)) for cell in self.cells)])

    @property
    def least(self) -> int:
        """Cells it cannot do without."""
        return self.width if self.elastic is None else min(self.width, self.elastic)

    @property
    def empty(self) -> bool:
        """No row has anything to say here."""
        return all(cell.plain in ("", "-") for cell in self.cells)


def line_width(console: Console) -> int:
    """Cells to fill; without a terminal as many as it takes, unless COLUMNS says otherwise."""
    if console.is_terminal or "COLUMNS" in os.environ:
        return console.width
    return _UNBOUNDED


def choose_columns(columns: Sequence[FitColumn], width: int) -> list[FitColumn]:
    """Leave out empty columns, then the least important ones until the rest fits."""
    kept = [column for column in columns if not column.empty] or list(columns[:1])
    while len(kept) > 1 and _total(kept) > width:
        kept.remove(min(kept, key=lambda column: column.importance))
    return kept


class FittedTable:
    """Rows of cells of one style, drawn as segments: ten times faster than a Rich table."""

    def __init__(self, columns: Sequence[FitColumn], width: int) -> None:
        self._columns = choose_columns(columns, width)
        self._widths = _widths(self._columns, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        headers = [Text(column.header, style="bold") for column in self._columns]
        rows = zip(*(column.cells for column in self._columns), strict=True)
        for row in (headers, *rows):
            yield from self._line(console, row)
            yield Segment.line()

    def _line(self, console: Console, cells: Sequence[Text]) -> Iterator[Segment]:
        last = len(cells) - 1
        for index, (cell, column, width) in enumerate(
            zip(cells, self._columns, self._widths, strict=True)
        ):
            text = _sized(_one_line(cell), width, right=column.right)
            text = text.rstrip() if index == last else text + " " * _GAP
            yield Segment(text, console.get_style(cell.style) if cell.style else None)


def fitted_table(columns: Sequence[FitColumn], console: Console) -> FittedTable:
    """A table without frame that fits the console."""
    return FittedTable(columns, line_width(console))


def _widths(columns: Sequence[FitColumn], width: int) -> list[int]:
    """What is left over goes to the elastic columns, from the left."""
    spare = width - _total(columns)
    widths = []
    for column in columns:
        shown = min(column.width, column.least + max(0, spare))
        spare -= shown - column.least
        widths.append(shown)
    return widths


def _one_line(cell: Text) -> str:
    """Names may hold line breaks; rows may not."""
    text = cell.plain
    return text if text.isprintable() else " ".join(text.split())


def _sized(text: str, width: int, *, right: bool) -> str:
    """Text in exactly so many cells; what is cut off leaves an ellipsis."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…"
    padding = " " * (width - length)
    return padding + text if right else text + padding


def _total(columns: Sequence[FitColumn]) -> int:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1)
