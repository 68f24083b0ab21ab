"""One run, live: its curves, evaluations, events, settings, provenance and log."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import TabbedContent, TabPane

from a5ctl.console import plain
from a5ctl.format import duration, interval, percent
from a5ctl.tables.runs import run_seconds
from a5ctl.tui.acting import ActingScreen
from a5ctl.tui.charts_view import ChartsView
from a5ctl.tui.curves_pane import CurvesPane
from a5ctl.tui.evaluations_pane import EvaluationsPane
from a5ctl.tui.events_pane import EventsPane
from a5ctl.tui.house import Plain, in_background
from a5ctl.tui.key_line import KeyLine
from a5ctl.tui.log_pane import LogPane
from a5ctl.tui.looks import one_line, status_cell, styled
from a5ctl.tui.row_table import RowTable
from a5ctl.tui.texts_pane import TextsPane, config_text, provenance_text
from core.registry.liveness import display_status

if TYPE_CHECKING:
    from a5ctl.tui.follow import Change
    from core.registry.records import RunRecord

_TABS = ("curves", "evaluations", "events", "config", "provenance", "log")


class RunScreen(ActingScreen):
    """One run in tabs; `first` is the one that is open at first."""

    AUTO_FOCUS = "ChartsView"
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(f"{n}", f"tab('{name}')", name.title(), show=False)
            for n, name in enumerate(_TABS, 1)
        ),
        Binding("tab", "next_tab(1)", "Tab", key_display="⇥", priority=True),
        Binding("shift+tab", "next_tab(-1)", "Tab before", show=False, priority=True),
        Binding("r", "responses", "Responses"),
        Binding("X", "stop", "Stop"),
    ]

    def __init__(self, run: "RunRecord", first: str = "curves") -> None:
        super().__init__()
        self.run = run
        self._first = first

    @property
    def chosen_runs(self) -> "list[RunRecord]":
        """This run."""
        return [self.run]

    def compose(self) -> ComposeResult:
        """The headline, the tabs, the keys."""
        yield Plain(self._headline(display_status(self.run)), classes="headline line")
        with TabbedContent(initial=self._first):
            for number, name in enumerate(_TABS, 1):
                yield TabPane(f"{number} {name}", id=name)
        yield KeyLine()

    def follow(self, change: "Change") -> None:
        """Hand the change to what shows it."""
        uuid = self.run.uuid
        if uuid in change.gone:
            self.tell(f"run {self.run.id} was deleted", "warning")
            self.house.pop_screen()
            return
        for line in change.lines:
            if line.run.uuid == uuid:
                self.run = line.run
                self._say_headline(line.status)
        if uuid in change.statuses:
            self._say_headline(change.statuses[uuid])
        if uuid in change.touched:
            for curves in self.query(CurvesPane):
                curves.follow(change)
            for pane in (*self.query(EvaluationsPane), *self.query(EventsPane)):
                pane.read()

    async def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """A tab is made when it is first opened; keys go to what it shows."""
        pane = event.pane
        if not pane.children:
            await pane.mount(self._content(pane.id or ""))
        for kind in (ChartsView, RowTable, TextsPane, LogPane):
            if found := pane.query(kind):
                found.first().focus()
                break
        for log in self.query(LogPane):
            log.watched(pane.id == "log")

    def _content(self, name: str) -> Widget:
        run, desk = self.run, self.desk
        makers: dict[str, Callable[[], Widget]] = {
            "curves": lambda: CurvesPane([run]),
            "evaluations": lambda: EvaluationsPane(run),
            "events": lambda: EventsPane(run),
            "config": lambda: TextsPane(lambda: config_text(run)),
            "provenance": lambda: TextsPane(lambda: provenance_text(desk.registry, run)),
            "log": lambda: LogPane(desk.workspace.run_folder(run.id) / "log.txt"),
        }
        return makers[name]()

    def _say_headline(self, status: str) -> None:
        for headline in self.query(".headline").results(Plain):  # none while it is being opened
            headline.say(self._headline(status))

    def _headline(self, status: str) -> Text:
        run, entry = self.run, self.house.runs.model.entries.get(self.run.uuid)
        shown, _ = status_cell(status)
        text = styled((run.id, "bold"), (f"  {run.name}" if run.name else "", ""))
        text.append(f"  {shown}  {duration(run_seconds(run))}")
        if entry is not None and entry.line.headline is not None:
            headline = entry.line.headline
            text.append(f"  accuracy {percent(headline.accuracy)} {interval(headline.interval)}")
        if entry is not None and entry.line.step is not None:
            text.append(f"  step {entry.line.step}")
        if run.tags:
            text.append_text(plain(f"  {one_line(', '.join(run.tags))}", "dim"))
        if run.exit_reason and status != "finished":
            text.append_text(plain(f"  {one_line(run.exit_reason)}", "dim"))
        if run.note:
            text.append_text(plain(f"  {one_line(run.note)}", "italic"))
        return text

    def action_tab(self, name: str) -> None:
        """Open a tab."""
        self.query_one(TabbedContent).active = name

    def action_next_tab(self, by: int) -> None:
        """Open the tab beside."""
        tabs = self.query_one(TabbedContent)
        tabs.active = _TABS[(_TABS.index(tabs.active) + by) % len(_TABS)]

    def action_responses(self) -> None:
        """The responses of the evaluation under the cursor; of the last one in other tabs."""
        if self.query_one(TabbedContent).active == "evaluations":
            self.query_one(EvaluationsPane).open_responses()
        else:
            in_background(self, self._open_last, "responses")

    async def _open_last(self) -> None:
        uuid = self.run.uuid
        found = await self.ask(lambda: self.desk.registry.last_evaluations([uuid]))
        if found:
            self.house.open_responses(self.run, found[uuid])
        elif found is not None:
            self.tell("there is no evaluation yet, so there are no responses", "warning")
