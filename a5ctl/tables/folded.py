"""A table under a rule whose long values are folded: drawn as segments, which costs a tenth."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

_GAP = 2
_LEAST = 3


@dataclass(frozen=True, slots=True)
class FoldColumn:
    """One column.

    Attributes:
        cells: One text per row, each of one style; may have several lines.
        least: Characters that it gets in any case; None where it may be squeezed.
    """

    title: str
    cells: Sequence[Text]
    right: bool = True
    least: int | None = None


class FoldedTable:
    """Columns side by side; the first row may be set off."""

    def __init__(self, columns: Sequence[FoldColumn], width: int, *, strong_first: bool) -> None:
        self._columns, self._strong_first = columns, strong_first
        self._widths = _widths(columns, width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Segment.line()
        heads = [Text(column.title, style="bold") for column in self._columns]
        yield from self._row(console, heads)
        total = sum(self._widths) + _GAP * (len(self._widths) - 1) + 1
        yield Segment(" " + "─" * total + "\n")
        for number, cells in enumerate(zip(*(c.cells for c in self._columns), strict=True)):
            style = "bold" if self._strong_first and number == 0 else ""
            yield from self._row(console, cells, style)
        yield Segment.line()

    def _row(self, console: Console, cells: Sequence[Text], style: str = "") -> Iterator[Segment]:
        folded = [_folded(cell.plain, w) for cell, w in zip(cells, self._widths, strict=True)]
        styles = [_style(console, cell, style) for cell in cells]
        for line in range(max(map(len, folded))):
            yield Segment(" ")
            for number, (lines, width) in enumerate(zip(folded, self._widths, strict=True)):
                text = lines[line] if line < len(lines) else ""
                padding = " " * (width - cell_len(text))
                if padding and self._columns[number].right:
                    yield Segment(padding)
                yield Segment(text, styles[number])
                left = "" if self._columns[number].right else padding
                if number < len(folded) - 1:
                    yield Segment(left + " " * _GAP)
            yield Segment.line()


def _style(console: Console, cell: Text, row: str) -> Style | None:
    words = f"{row} {cell.style}".strip()
    return console.get_style(words) if words else None


def _folded(text: str, width: int) -> list[str]:
    return [part for line in text.split("\n") for part in (chop_cells(line, width) or [""])]


def _widths(columns: Sequence[FoldColumn], width: int) -> list[int]:
    """What the texts ask for; where that is too much, the widest give way first."""
    wanted, floors = [], []
    for column in columns:
        texts = [column.title, *(line for c in column.cells for line in c.plain.split("\n"))]
        widest = max(map(cell_len, texts))
        wanted.append(widest)
        floors.append(min(widest, _LEAST if column.least is None else column.least))
    over = 1 + sum(wanted) + _GAP * (len(wanted) - 1) - width
    while over > 0:
        loose = [n for n in range(len(wanted)) if wanted[n] > floors[n]]
        if not loose:
            break
        wanted[max(loose, key=lambda n: wanted[n])] -= 1
        over -= 1
    return wanted
