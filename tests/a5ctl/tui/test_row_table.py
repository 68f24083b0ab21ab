"""A table draws what is on the screen, and fits it into any width."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from a5ctl.tui.columns import Column, fit_columns, sized
from a5ctl.tui.looks import Cell
from a5ctl.tui.row_table import RowTable

COLUMNS = st.lists(
    st.builds(
        Column,
        name=st.just("c"),
        title=st.just("c"),
        width=st.integers(1, 30),
        importance=st.integers(0, 99),
        elastic=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@pytest.mark.slow
@given(COLUMNS, st.integers(1, 250))
def test_columns_fit_and_the_important_ones_stay(columns: list[Column], room: int) -> None:
    fitted = fit_columns(columns, room)
    places = [place for place, _, _ in fitted]
    assert places == sorted(places)
    assert len(fitted) == 1 or sum(width + 2 for _, _, width in fitted) <= room
    gone = [column.importance for n, column in enumerate(columns) if n not in places]
    assert not gone or max(gone) <= min(column.importance for _, column, _ in fitted)


@given(st.text("ab…漢"), st.integers(1, 20), st.booleans())
def test_texts_take_exactly_their_cells(text: str, width: int, tail: bool) -> None:
    shown = sized(text, width, right=False, tail=tail)
    assert cell_len(shown) == width


def test_names_that_differ_at_their_end_keep_it() -> None:
    assert sized("builtin-test-00017", 8, right=False, tail=True) == "…t-00017"
    assert sized("builtin-test-00017", 8, right=False) == "builtin…"


class _Counted:
    """A hundred thousand rows that remember which of them somebody looked at."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def __len__(self) -> int:
        return 100_000

    def cells(self, index: int) -> Sequence[Cell]:
        self.seen.add(index)
        return ((f"row {index}", "plain"),)

    def marked(self, index: int) -> bool:
        return False


@pytest.mark.slow
def test_of_a_hundred_thousand_rows_only_those_on_the_screen_are_looked_at() -> None:
    rows = _Counted()

    class Alone(App[None]):
        def compose(self) -> ComposeResult:
            yield RowTable([Column("c", "c", 10)])

        def on_mount(self) -> None:
            self.query_one(RowTable).show(rows)

    async def play() -> None:
        app = Alone()
        async with app.run_test(size=(40, 20)) as pilot:
            table = app.query_one(RowTable)
            table.focus()
            await pilot.press("end")
            assert table.cursor == 99_999
            assert table.visible_rows == range(100_000 - 19, 100_000)
            await pilot.press("pageup", "k", "home", "j")
            assert table.cursor == 1
            assert len(rows.seen) < 100
            await pilot.click(RowTable, offset=(2, 6))  # the header is line 0
            assert table.cursor == 5

    asyncio.run(play())
