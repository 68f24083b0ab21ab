"""A table of any length: only the rows on the screen are ever drawn, or even looked at."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from a5ctl.tui.columns import GAP, Column, NoRows, Rows, fit_columns, sized
from a5ctl.tui.looks import LOOKS, PLAIN


class RowTable(ScrollView, can_focus=True):
    """Rows under a header that stays; a cursor chooses one of them."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("row-table--header", "row-table--cursor", "row-table--cursor-away", "row-table--odd"),
        *("row-table--mark", "row-table--sorted", *(f"row-table--{look}" for look in LOOKS)),
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Next row", show=False),
        Binding("up,k", "move(-1)", "Previous row", show=False),
        Binding("pagedown,ctrl+d", "page(1)", "A screen down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "A screen up", show=False),
        Binding("home", "top", "First row", show=False),
        Binding("end,G", "bottom", "Last row", show=False),
        Binding("enter", "choose", "Open", show=False),
    ]
    cursor: reactive[int] = reactive(0)

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, table: "RowTable", index: int) -> None:
            self.table, self.index = table, index
            super().__init__()

        @property
        def control(self) -> "RowTable":
            """The table."""
            return self.table

    class Chosen(Moved):
        """Somebody wants to see what is behind a row."""

    class HeaderPressed(Message):
        """Somebody pressed the title of a column."""

        def __init__(self, table: "RowTable", column: str) -> None:
            self.table, self.column = table, column
            super().__init__()

        @property
        def control(self) -> "RowTable":
            """The table."""
            return self.table

    def __init__(self, columns: Sequence[Column], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._rows: Rows = NoRows()
        self._fitted: tuple[int, tuple[tuple[int, Column, int], ...]] | None = None
        self.sorted_by: tuple[str, bool] | None = None
        self.nothing = "nothing here"

    def show(
        self, rows: Rows, cursor: int | None = None, columns: Sequence[Column] | None = None
    ) -> None:
        """Show other rows, or the same ones after they changed.

        Args:
            rows: What to show.
            cursor: Where the cursor goes; it stays where it is when not given.
            columns: Other columns than before.
        """
        if columns is not None and tuple(columns) != self._columns:
            self._columns = tuple(columns)
            self._fitted = None
        self._rows = rows
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        wanted = self.cursor if cursor is None else cursor
        self.cursor = max(0, min(wanted, len(rows) - 1))
        self.refresh()

    def row_changed(self, index: int) -> None:
        """Draw one row again, if it is on the screen."""
        line = index + 1 - self.scroll_offset.y
        if 1 <= line < self.size.height:
            self.refresh_lines(line, 1)

    @property
    def visible_rows(self) -> range:
        """The rows on the screen."""
        top = self.scroll_offset.y
        return range(top, min(len(self._rows), top + max(0, self.size.height - 1)))

    def validate_cursor(self, index: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(index, len(self._rows) - 1))

    def watch_cursor(self, before: int, now: int) -> None:
        """Draw both rows again, and bring the cursor into view."""
        self.row_changed(before)
        self.row_changed(now)
        self._bring_into_view()
        self.post_message(self.Moved(self, now))

    def on_resize(self) -> None:
        """The columns fit the new width, and the cursor stays in sight."""
        self.virtual_size = Size(self.size.width, len(self._rows) + 1)
        self._bring_into_view()

    def on_focus(self) -> None:
        """The cursor shows where keys go."""
        self.row_changed(self.cursor)

    def on_blur(self) -> None:
        """The cursor shows where keys do not go."""
        self.row_changed(self.cursor)

    def action_move(self, by: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor += by

    def action_page(self, by: int) -> None:
        """Move the cursor by so many screens."""
        self.cursor += by * max(1, self.size.height - 2)

    def action_top(self) -> None:
        """Go to the first row."""
        self.cursor = 0

    def action_bottom(self) -> None:
        """Go to the last row."""
        self.cursor = len(self._rows) - 1

    def action_choose(self) -> None:
        """Tell that somebody wants to see what is behind the row."""
        if len(self._rows):
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """A row: go there, and open it where the cursor was already. The header: sort."""
        if event.y == 0:
            at = 0
            for _, column, width in self._fit():
                at += width + GAP
                if event.x < at:
                    self.post_message(self.HeaderPressed(self, column.name))
                    return
            return
        index = self.scroll_offset.y + event.y - 1
        if index >= len(self._rows):
            return
        if event.chain == 2 or index == self.cursor:
            self.cursor = index
            self.action_choose()
        else:
            self.cursor = index

    def render_line(self, y: int) -> Strip:
        """One line of what is in view."""
        width = self.size.width
        if y == 0:
            return self._header(width)
        index = self.scroll_offset.y + y - 1
        if not len(self._rows) and y == 1:
            style = self._look("dim")
            return Strip([Segment(set_cell_size(f" {self.nothing}", width), style)], width)
        if index >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        return self._row(index, width)

    def _row(self, index: int, width: int) -> Strip:
        base = self.rich_style
        here = index == self.cursor
        if here:
            where = "cursor" if self.has_focus else "cursor-away"
            base += self.get_component_rich_style(f"row-table--{where}", partial=True)
        elif index % 2:
            base += self.get_component_rich_style("row-table--odd", partial=True)
        cells = self._rows.cells(index)
        mark = "▌" if self._rows.marked(index) else " "
        segments = [Segment(mark, base + self._part("mark"))]
        for place, column, room in self._fit():
            text, look = cells[place]
            style = base + self._part(look) if look != PLAIN else base
            shown = sized(text, room, right=column.right, tail=column.tail)
            segments.append(Segment(shown, style))
            segments.append(Segment(" " * GAP, base))
        return Strip(segments).adjust_cell_length(width, base)

    def _header(self, width: int) -> Strip:
        base = self.rich_style + self._part("header")
        segments = [Segment(" ", base)]
        for _, column, room in self._fit():
            title, style = column.title, base
            if self.sorted_by is not None and self.sorted_by[0] == column.name:
                arrow = "▼" if self.sorted_by[1] else "▲"
                title, style = f"{title[: room - 1]}{arrow}", base + self._part("sorted")
            segments.append(Segment(sized(title, room, right=column.right), style))
            segments.append(Segment(" " * GAP, base))
        return Strip(segments).adjust_cell_length(width, base)

    def _fit(self) -> tuple[tuple[int, Column, int], ...]:
        """Place, column and width of the columns there is room for."""
        room = self.size.width - 1
        if self._fitted is None or self._fitted[0] != room:
            self._fitted = room, fit_columns(self._columns, room)
        return self._fitted[1]

    def _look(self, look: str) -> Style:
        return self.rich_style + self._part(look)

    def _part(self, look: str) -> Style:
        return self.get_component_rich_style(f"row-table--{look}", partial=True)

    def _bring_into_view(self) -> None:
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)
