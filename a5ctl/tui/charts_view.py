"""A widget that shows charts: below each other, beside each other where there is room, in pages."""

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from a5ctl.tui.drawing import Chart, draw

_LOWEST, _HIGHEST = 7, 26
_TWO_COLUMNS = 150
_GAP = 3


class ChartsView(Widget):
    """Draws when it is looked at, and only what changed since."""

    class Turned(Message):
        """Another page is shown, or there is another number of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pagedown", "page(1)", "More charts", show=False),
        Binding("pageup", "page(-1)", "Charts before", show=False),
    ]

    def __init__(self, *, id: str | None = None, focusable: bool = True) -> None:
        super().__init__(id=id)
        self.can_focus = focusable
        self._charts: Sequence[Chart] = ()
        self._page = 0
        self._drawn: tuple[Size, list[Text]] | None = None
        self.nothing = ""

    def show(self, charts: Sequence[Chart]) -> None:
        """Show other charts."""
        if charts != self._charts:
            self._charts = charts
            self._drawn = None
            self.refresh()

    @property
    def pages(self) -> int:
        """How many screens the charts take."""
        return max(1, -(-len(self._charts) // self._per_page()))

    @property
    def page(self) -> int:
        """Which of them is shown, from 0."""
        return min(self._page, self.pages - 1)

    def action_page(self, by: int) -> None:
        """Turn the page."""
        self._page = max(0, min(self.page + by, self.pages - 1))
        self._drawn = None
        self.refresh()
        self.post_message(self.Turned())

    def on_resize(self) -> None:
        """Other charts may fit now."""
        self.post_message(self.Turned())

    def render_line(self, y: int) -> Strip:
        """One line."""
        if self._drawn is None or self._drawn[0] != self.size:
            self._drawn = self.size, self._draw()
        lines, width = self._drawn[1], self.size.width
        if y >= len(lines):
            return Strip.blank(width, self.rich_style)
        segments = list(lines[y].render(self.app.console))
        shown = Strip(Segment.apply_style(segments, self.rich_style))
        return shown.adjust_cell_length(width, self.rich_style)

    def _columns(self) -> int:
        return 2 if self.size.width >= _TWO_COLUMNS and len(self._charts) > 1 else 1

    def _per_page(self) -> int:
        return self._columns() * max(1, self.size.height // _LOWEST)

    def _draw(self) -> list[Text]:
        if not self._charts:
            return [Text(self.nothing, "dim")]
        columns, per_page = self._columns(), self._per_page()
        shown = self._charts[self.page * per_page : (self.page + 1) * per_page]
        rows = -(-len(shown) // columns)
        width = (self.size.width - _GAP * (columns - 1)) // columns
        height = min(_HIGHEST if rows > 1 else 2 * _HIGHEST, self.size.height // rows)
        letters = self.app.no_color
        lines: list[Text] = []
        for row in range(rows):
            beside = shown[row * columns : (row + 1) * columns]
            drawn = [draw(chart, width, height, letters=letters) for chart in beside]
            for parts in zip(*drawn, strict=True):
                line = Text(no_wrap=True)
                for part in parts:
                    line.append_text(part)
                    line.pad_right(max(0, width - part.cell_len))
                    line.pad_right(_GAP)
                lines.append(line)
        return lines
