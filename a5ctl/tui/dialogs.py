"""Small questions in front of a screen: yes or no, one line of text, one of a list, some of it."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, SelectionList, TextArea
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from a5ctl.console import printable
from a5ctl.tui.house import Plain
from core.errors import UserError

_CANCEL: list[BindingType] = [Binding("escape", "cancel", "Cancel")]


class Confirm(ModalScreen[bool]):
    """Asks before something is done that cannot be taken back; the safe answer has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_CANCEL,
        Binding("y", "agree", "Yes"),
        Binding("n", "cancel", "No"),
        Binding("left,right", "app.focus_next", "Other button", show=False),
    ]

    def __init__(self, question: str, yes: str) -> None:
        super().__init__()
        self._question, self._yes = question, yes

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(classes="dialog"):
            yield Plain(self._question)
            with Horizontal(classes="buttons"):
                yield Button(Content("No (n)"), id="no")
                yield Button(Content(f"{self._yes} (y)"), id="yes", variant="warning")

    def on_mount(self) -> None:
        """Enter alone must not do it."""
        self.query_one("#no").focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")

    def action_agree(self) -> None:
        """Yes."""
        self.dismiss(True)

    def action_cancel(self) -> None:
        """No."""
        self.dismiss(False)


class AskText(ModalScreen[str | None]):
    """Asks for one line; None comes back when the person changes their mind.

    Args:
        title: What is asked.
        value: What stands there at first.
        hint: Below the line.
        check: Raises UserError with a sentence where a text will not do.
    """

    BINDINGS: ClassVar[list[BindingType]] = _CANCEL

    def __init__(
        self, title: str, value: str = "", hint: str = "", check: Callable[[str], object] = str
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        """The title, the line and the hint."""
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="title")
            yield Input(printable(self._value))
            yield Plain(Text(self._hint, "dim"), id="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the text if it will do."""
        try:
            self._check(event.value)
        except UserError as error:
            self.query_one("#hint", Plain).say(str(error))
            return
        self.dismiss(event.value)

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


class AskLongText(ModalScreen[str | None]):
    """Asks for lines of text; None comes back where nothing was changed.

    Args:
        title: What is asked.
        value: What stands there at first; what cannot be printed is shown as escapes.
        check: Raises UserError with a sentence where a text will not do.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*_CANCEL, Binding("ctrl+s", "done", "Done")]

    def __init__(self, title: str, value: str, check: Callable[[str], object]) -> None:
        super().__init__()
        self._title, self._value, self._check = title, printable(value), check

    def compose(self) -> ComposeResult:
        """The title, the lines and a hint."""
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="title")
            yield TextArea(self._value, tab_behavior="focus")
            yield Plain(Text("ctrl+s keeps it, esc leaves it as it was", "dim"), id="hint")

    def on_mount(self) -> None:
        """Write on where the text ends."""
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)

    def action_done(self) -> None:
        """Take the text if it will do."""
        text = self.query_one(TextArea).text
        try:
            self._check(text)
        except UserError as error:
            self.query_one("#hint", Plain).say(str(error))
            return
        self.dismiss(None if text == self._value else text)

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


class ChooseOne(ModalScreen[str | None]):
    """Asks for one of a few names.

    Args:
        title: What is asked.
        options: (name, what is shown).
        chosen: Where the cursor is at first.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *_CANCEL,
        Binding("j", "cursor(1)", show=False),
        Binding("k", "cursor(-1)", show=False),
    ]

    def __init__(
        self, title: str, options: Sequence[tuple[str, str]], chosen: str | None = None
    ) -> None:
        super().__init__()
        self._title, self._options, self._chosen = title, options, chosen

    def compose(self) -> ComposeResult:
        """The title and the list."""
        with Vertical(classes="dialog"):
            yield Plain(self._title, classes="title")
            yield OptionList(
                *(Option(Content(printable(shown))) for _, shown in self._options), markup=False
            )

    def on_mount(self) -> None:
        """Stand on what is chosen now."""
        names = [name for name, _ in self._options]
        if self._chosen in names:
            self.query_one(OptionList).highlighted = names.index(self._chosen)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(self._options[event.option_index][0])

    def action_cursor(self, by: int) -> None:
        """The keys of vi."""
        listed = self.query_one(OptionList)
        listed.action_cursor_down() if by > 0 else listed.action_cursor_up()

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)


class ChooseMany(ModalScreen[list[str] | None]):
    """Asks for some of many names: space chooses, enter is done."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *_CANCEL,
        Binding("enter", "done", "Done", priority=True),
    ]

    def __init__(self, title: str, names: Sequence[str], chosen: Sequence[str]) -> None:
        super().__init__()
        self._title, self._names, self._chosen = title, names, chosen

    def compose(self) -> ComposeResult:
        """The title and the list."""
        with Vertical(classes="dialog tall"):
            yield Plain(self._title, classes="title")
            yield SelectionList[int](
                *(
                    Selection(Content(printable(name)), place, name in self._chosen)
                    for place, name in enumerate(self._names)
                )
            )
            yield Plain(Text("space chooses, enter is done, esc leaves it as it was", "dim"))

    def action_done(self) -> None:
        """Answer in the order of the list, what was chosen before first."""
        places = self.query_one(SelectionList).selected
        names = [self._names[place] for place in sorted(places)]
        before = [name for name in self._chosen if name in names]
        self.dismiss([*before, *(name for name in names if name not in before)])

    def action_cancel(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)
