"""Columns of a table: how wide they are, and which of them go where there is no room."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rich.cells import cell_len, set_cell_size

from a5ctl.tui.looks import Cell

GAP = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: For programs; messages and sorting speak of it.
        title: For people.
        width: Cells it needs.
        importance: The columns of least importance go where there is no room.
        right: Figures stand on the right.
        elastic: Takes a share of the room that is left.
        tail: What tells rows apart stands at the end of a text, which is kept where it is cut.
    """

    name: str
    title: str
    width: int
    importance: int = 50
    right: bool = False
    elastic: bool = False
    tail: bool = False


class Rows(Protocol):
    """What a table shows."""

    def __len__(self) -> int:
        """How many rows there are."""

    def cells(self, index: int) -> Sequence[Cell]:
        """One row, a cell for each column."""

    def marked(self, index: int) -> bool:
        """Whether somebody marked the row."""


class NoRows:
    """An empty table."""

    def __len__(self) -> int:
        return 0

    def cells(self, index: int) -> Sequence[Cell]:
        """There are none."""
        raise IndexError(index)

    def marked(self, index: int) -> bool:
        """There are none."""
        return False


def fit_columns(columns: Sequence[Column], room: int) -> tuple[tuple[int, Column, int], ...]:
    """The columns there is room for: (place among all, column, width)."""
    kept = dict(enumerate(columns))
    while len(kept) > 1 and _needed(kept.values()) > room:
        del kept[min(kept, key=lambda place: (kept[place].importance, -place))]
    rest = max(0, room - _needed(kept.values()))
    elastic = [place for place, column in kept.items() if column.elastic]
    shares = {place: rest // len(elastic) for place in elastic}
    if elastic:
        shares[elastic[0]] += rest % len(elastic)
    return tuple(
        (place, column, min(column.width + shares.get(place, 0), room))
        for place, column in kept.items()
    )


def _needed(columns: Iterable[Column]) -> int:
    return sum(column.width + GAP for column in columns)


def sized(text: str, width: int, *, right: bool, tail: bool = False) -> str:
    """A text in exactly so many cells; of a cut one its beginning is kept, or its tail."""
    length = cell_len(text)
    if length > width and tail:
        return "…" + set_cell_size(text[::-1], width - 1)[::-1] if width > 1 else "…"
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…" if width > 1 else "…"
    return " " * (width - length) + text if right else text + " " * (width - length)
