"""The responses of one evaluation: by class, by words, from failure to failure."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.widgets import Footer, Input

from a5ctl.console import plain
from a5ctl.format import count, percent
from a5ctl.tui.dialogs import ChooseOne
from a5ctl.tui.house import HouseScreen, Plain, in_background
from a5ctl.tui.looks import styled
from a5ctl.tui.response_view import ResponseView
from a5ctl.tui.responses_model import ALL, COLUMNS, ResponsesModel
from a5ctl.tui.row_table import RowTable
from core.registry.response_lines import response_lines, search_responses, whole_response

if TYPE_CHECKING:
    from core.registry.records import EvaluationRecord, RunRecord


class ResponsesScreen(HouseScreen):
    """A list of responses, read in pieces, and the one under the cursor in full."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "failure(1)", "Next failure"),
        Binding("N", "failure(-1)", "Failure before", show=False),
        Binding("f", "kind", "Class"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("g", "grader", "Grader"),
        Binding("tab", "other", "List or text", key_display="⇥", priority=True),
        Binding("shift+tab", "other", "List or text", show=False, priority=True),
    ]

    def __init__(self, run: "RunRecord", evaluation: "EvaluationRecord") -> None:
        super().__init__()
        self._run, self._evaluation = run, evaluation
        self._grader = evaluation.grader
        self.model = ResponsesModel()
        self._reading, self._searched = True, ""
        self._progress: float | None = None

    def compose(self) -> ComposeResult:
        """The headline, the line for searches, list and text, the keys."""
        yield Plain("", classes="headline line")
        yield Input(id="search", placeholder="words in a response or a question")
        with Container(id="both"):
            table = RowTable(COLUMNS, id="list")
            table.nothing = "reading ..."
            yield table
            yield ResponseView(id="response")
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Read the responses."""
        self._read_again()

    def _read_again(self) -> None:
        self.model = ResponsesModel(kind=self.model.kind)
        self._searched = ""
        self._reading = True
        in_background(self, partial(self._read, self._grader), "lines", latest=True)

    async def _read(self, grader: str) -> None:
        table, model = self.query_one("#list", RowTable), self.model
        lines = response_lines(self.desk.registry.database, self._evaluation.uuid, grader)
        async for piece in self.desk.pieces(lines):
            first = not model.lines
            model.add(piece)
            table.show(model, 0 if first else None)
            self._say()
            if first:
                self._show_response()
        self._reading = False
        if not model.lines:
            table.nothing = f"no response here was graded by {grader}"
            table.show(model)
        self._say()

    def _say(self) -> None:
        model = self.model
        text = styled((self._run.id, "bold"), (f"  step {self._evaluation.step}", ""))
        text.append_text(plain(f"  {self._evaluation.split} under {self._grader}"))
        right = sum(line.right for line in model.lines)
        if model.lines and not self._reading:
            text.append(f"  {percent(right / len(model.lines))} right", "bold")
        text.append(f"  {count(len(model))} of {count(len(model.lines))} shown")
        if model.kind != ALL:
            text.append_text(plain(f"  {model.kind}", "bold"))
        if self._searched:
            text.append_text(plain(f"  /{self._searched}", "bold"))
        if self._progress is not None:
            text.append(f"  searching, {percent(self._progress, 0)}", "dim")
        elif self._reading:
            text.append("  reading", "dim")
        self.query_one(".headline", Plain).say(text)

    @on(RowTable.Moved)
    def _moved(self) -> None:
        self._show_response()

    @on(RowTable.Chosen)
    def _chosen(self) -> None:
        self.query_one(ResponseView).focus()

    def _show_response(self) -> None:
        cursor = self.query_one(RowTable).cursor
        if cursor < len(self.model):
            key = self.model.lines[self.model.shown[cursor]].key
            in_background(self, partial(self._read_one, key), "one", latest=True)
        else:
            self.query_one(ResponseView).show(None)

    async def _read_one(self, key: int) -> None:
        registry = self.desk.registry
        found = await self.ask(lambda: whole_response(registry, key))
        self.query_one(ResponseView).show(found, self._searched)

    def action_failure(self, by: int) -> None:
        """Go to the next failure, or to the one before."""
        table = self.query_one(RowTable)
        place = self.model.failure_from(table.cursor, by)
        if place is None:
            self.tell("no further failure" if by > 0 else "no failure before this one")
        else:
            table.cursor = place

    def action_kind(self) -> None:
        """Ask which responses to show."""

        def chosen(kind: str | None) -> None:
            if kind is not None:
                self.model.kind = kind
                self._arrange()

        self.app.push_screen(ChooseOne("Show", self.model.kinds(), self.model.kind), chosen)

    def action_grader(self) -> None:
        """Ask under which grader to judge."""

        def chosen(grader: str | None) -> None:
            if grader is not None and grader != self._grader:
                self._grader = grader
                self._read_again()

        shares = self._evaluation.accuracy_by_grader
        options = [(name, f"{percent(share):>7}  {name}") for name, share in shares.items()]
        self.app.push_screen(ChooseOne("Judge by", options, self._grader), chosen)

    def action_search(self) -> None:
        """Type what to look for in all texts."""
        line = self.query_one("#search", Input)
        line.display = True
        self.set_focus(line)  # at once: the next key may be there already

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.input.display = False
        self.set_focus(self.query_one(RowTable))
        self._searched = event.value.strip()
        in_background(self, partial(self._search, self._searched), "search", latest=True)

    async def _search(self, wanted: str) -> None:
        self.model.found, self._progress = None, None
        if not wanted:
            self._arrange()
            return
        self.model.found = set()
        self._arrange()
        keys = [line.key for line in self.model.lines]
        found = search_responses(self.desk.registry.database, keys, wanted)
        try:
            async for done, hits in self.desk.pieces(found):
                self._progress = done / len(keys)
                if hits:
                    self.model.found |= set(hits)
                    self._arrange()
                self._say()
        finally:
            self._progress = None
        self._say()

    def _arrange(self) -> None:
        """Show what fits; the cursor stays on its response where that is still shown."""
        table = self.query_one(RowTable)
        before = None
        if table.cursor < len(self.model):
            before = self.model.lines[self.model.shown[table.cursor]].key
        self.model.arrange()
        table.nothing = "no response is of this kind; f shows others, esc ends a search"
        table.show(self.model, self.model.place_of(before) or 0)
        self._say()
        self._show_response()

    def action_other(self) -> None:
        """From the list to the text, or back."""
        table, view = self.query_one(RowTable), self.query_one(ResponseView)
        (view if table.has_focus else table).focus()

    def action_back(self) -> None:
        """End the search, or leave."""
        line = self.query_one("#search", Input)
        if line.display:
            line.display = False
            self.set_focus(self.query_one(RowTable))
        elif self._searched:
            self._searched = line.value = ""
            in_background(self, partial(self._search, ""), "search", latest=True)
        elif self.query_one(ResponseView).has_focus:
            self.query_one(RowTable).focus()
        else:
            super().action_back()
