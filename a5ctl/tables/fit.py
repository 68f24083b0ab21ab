"""Tables that fit the terminal: when it is narrow, the least important columns go first."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_GAP = 2
_UNBOUNDED = 100_000


@dataclass(frozen=True, slots=True)
class FitColumn:
    """One column.

    Attributes:
        header: Its title.
        cells: One text per row.
        importance: The column with the smallest one is dropped first.
        right: Align to the right.
        elastic: May be cut with an ellipsis before anything is dropped, down to this many cells.
    """

    header: str
    cells: Sequence[Text]
    importance: int
    right: bool = False
    elastic: int | None = None

    @property
    def width(self) -> int:
        """Cells of the widest line."""
        return max([cell_len(self.header), *(cell.cell_len for cell in self.cells)])

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


def fitted_table(columns: Sequence[FitColumn], console: Console) -> Table:
    """A table without frame that fits; print it with `print_table`."""
    width = line_width(console)
    kept = choose_columns(columns, width)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    spare = width - _total(kept)
    for column in kept:
        shown = min(column.width, column.least + max(0, spare))
        spare -= shown - column.least
        table.add_column(
            column.header,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=shown,
        )
    for index in range(len(columns[0].cells)):
        table.add_row(*(column.cells[index] for column in kept))
    return table


def print_table(console: Console, table: Table) -> None:
    """Print a fitted table; in a pipe lines are as long as they need to be."""
    if line_width(console) == _UNBOUNDED:
        console.width = _UNBOUNDED
        with console.capture() as captured:
            console.print(table)
        for line in captured.get().splitlines():
            console.out(line.rstrip(), highlight=False)
    else:
        console.print(table)


def _total(columns: Sequence[FitColumn]) -> int:
    return sum(column.least for column in columns) + _GAP * (len(columns) - 1)
