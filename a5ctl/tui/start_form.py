"""The form that starts a run; it shows the command line that it will run."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Tab, Tabs

from a5ctl.console import plain
from a5ctl.tui.house import Plain
from a5ctl.tui.start_command import LINES, Forms, run_arguments, shown_command
from core.errors import UserError

_OF_RUNS = ("init", "run")


class StartForm(ModalScreen[list[str] | None]):
    """Asks for a run; the arguments of `a5ctl` come back.

    Args:
        forms: What to ask for, by the kind of run.
        place: The workspace, for people.
        runs: Ids that a line about a run suggests.
        groups: Names that the line about the group suggests.
    """

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel"),
        Binding("ctrl+s", "start", "Start"),
        Binding("down", "app.focus_next", "Next line", show=False),
        Binding("up", "app.focus_previous", "Line before", show=False),
    ]

    def __init__(
        self, forms: Forms, place: str, runs: Sequence[str], groups: Sequence[str]
    ) -> None:
        super().__init__()
        self._forms, self._place, self._runs, self._groups = forms, place, runs, groups
        self._kind = next(iter(forms))

    def compose(self) -> ComposeResult:
        """The kinds, a line for each question, the command, the buttons."""
        with Vertical(classes="dialog form"):
            yield Tabs(*(Tab(Content(kind), id=kind) for kind in self._forms))
            with VerticalScroll(can_focus=False, id="lines"):
                for name in LINES:
                    with Horizontal(classes="question", id=f"line-{name}"):
                        yield Plain(name.replace("_", " "), classes="label")
                        yield Input(id=name, compact=True, suggester=self._suggester(name))
            yield Plain("", id="command")
            yield Plain(Text("ctrl+s starts it, esc leaves; arrows go from line to line", "dim"))
            with Horizontal(classes="buttons"):
                yield Button(Content("Start"), id="start", variant="primary", compact=True)
                yield Button(Content("Cancel"), id="cancel", compact=True)

    def on_mount(self) -> None:
        """Show the first kind."""
        self._show_kind()

    @on(Tabs.TabActivated)
    def _other_kind(self, event: Tabs.TabActivated) -> None:
        self._kind = event.tab.id or self._kind
        self._show_kind()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._say()

    @on(Input.Submitted)
    def _next_line(self) -> None:
        self.app.action_focus_next()

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "start":
            self.action_start()
        else:
            self.dismiss(None)

    def action_start(self) -> None:
        """Answer, if it can be understood."""
        try:
            self.dismiss(self._arguments())
        except UserError as error:
            self.query_one("#command", Plain).say(str(error))

    def action_cancel(self) -> None:
        """Start nothing."""
        self.dismiss(None)

    def _show_kind(self) -> None:
        hints = {question.name: question.hint for question in self._forms[self._kind]}
        for name in LINES:
            self.query_one(f"#line-{name}").display = name in hints
            self.query_one(f"#{name}", Input).placeholder = hints.get(name, "")
        self._say()

    def _say(self) -> None:
        try:
            text = plain(shown_command(self._arguments()), "bold")
        except UserError as error:
            text = plain(str(error))
        shown = Text().append_text(text).append_text(plain(f"\nin {self._place}", "dim"))
        self.query_one("#command", Plain).say(shown)

    def _arguments(self) -> list[str]:
        answers = {name: self.query_one(f"#{name}", Input).value for name in LINES}
        return run_arguments(self._kind, self._forms[self._kind], answers)

    def _suggester(self, name: str) -> SuggestFromList | None:
        if name in _OF_RUNS:
            return SuggestFromList(self._runs)
        return SuggestFromList(self._groups) if name == "group" else None
