"""Two runs side by side: the settings that differ, their curves together, and what flipped."""

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import TabbedContent, TabPane

from a5ctl.tui.charts_view import ChartsView
from a5ctl.tui.curves_pane import CurvesPane
from a5ctl.tui.differences_pane import DifferencesPane
from a5ctl.tui.drawing import colour
from a5ctl.tui.flips_pane import FlipsPane
from a5ctl.tui.house import HouseScreen, Plain
from a5ctl.tui.key_line import KeyLine
from a5ctl.tui.looks import one_line, styled
from a5ctl.tui.row_table import RowTable

if TYPE_CHECKING:
    from a5ctl.tui.follow import Change
    from core.registry.records import RunRecord

_TABS = ("differences", "curves", "flips")


class PairScreen(HouseScreen):
    """Run A and run B; B is the later one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(f"{n}", f"tab('{name}')", name.title(), show=False)
            for n, name in enumerate(_TABS, 1)
        ),
        Binding("tab", "next_tab(1)", "Tab", key_display="⇥", priority=True),
        Binding("shift+tab", "next_tab(-1)", "Tab before", show=False, priority=True),
        Binding("w", "turn", "Swap A and B"),
    ]

    def __init__(self, a: "RunRecord", b: "RunRecord", first: str = _TABS[0]) -> None:
        super().__init__()
        self._a, self._b, self._first = a, b, first

    def compose(self) -> ComposeResult:
        """The headline, the tabs, the keys."""
        headline = styled(
            ("A ", "bold"),
            (self._a.id, f"bold {colour(0)}"),
            (_named(self._a), ""),
            ("   B ", "bold"),
            (self._b.id, f"bold {colour(1)}"),
            (_named(self._b), ""),
        )
        yield Plain(headline, classes="headline line")
        with TabbedContent(initial=self._first):
            for number, name in enumerate(_TABS, 1):
                yield TabPane(f"{number} {name}", id=name)
        yield KeyLine()

    def follow(self, change: "Change") -> None:
        """The curves of a live run grow."""
        for curves in self.query(CurvesPane):
            curves.follow(change)

    async def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """A tab is made when it is first opened; keys go to what it shows."""
        pane = event.pane
        if not pane.children:
            await pane.mount(self._content(pane.id or ""))
        for kind in (ChartsView, RowTable):
            if found := pane.query(kind):
                found.first().focus()
                break

    def _content(self, name: str) -> Widget:
        if name == "curves":
            return CurvesPane([self._a, self._b])
        return (DifferencesPane if name == "differences" else FlipsPane)(self._a, self._b)

    def action_tab(self, name: str) -> None:
        """Open a tab."""
        self.query_one(TabbedContent).active = name

    def action_next_tab(self, by: int) -> None:
        """Open the tab beside."""
        tabs = self.query_one(TabbedContent)
        tabs.active = _TABS[(_TABS.index(tabs.active) + by) % len(_TABS)]

    def action_turn(self) -> None:
        """The other way round: what was fixed is what broke."""
        first = self.query_one(TabbedContent).active
        self.app.switch_screen(PairScreen(self._b, self._a, first))


def _named(run: "RunRecord") -> str:
    return f" {one_line(run.name)}" if run.name else ""
