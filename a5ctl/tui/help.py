"""All keys of the screen that is open: read from the screen itself, so that none is missing."""

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

_KEYS = {"question_mark": "?", "slash": "/", "plus": "+", "minus": "-", "space": "space"}
_OF_THE_TOOLKIT = (
    *("screen.", "app.focus", "app.copy", "app.help_quit", "app.suspend", "help_quit"),
    *("scroll_", "page_left", "page_right"),
)
_MOVES = ("move(", "page(", "top", "bottom")


class Help(ModalScreen[None]):
    """The keys of a screen, and what they do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,enter", "close", "Close"),
    ]

    def __init__(self, screen: Screen[object]) -> None:
        super().__init__()
        self._keys = screen_keys(screen)

    def compose(self) -> ComposeResult:
        """A table of keys."""
        table = Table.grid(padding=(0, 3, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column()
        for keys, meaning in self._keys:
            table.add_row(Text(keys), Text(meaning))
        with VerticalScroll(classes="dialog help"):
            yield Static(Text("Keys of this screen", "bold"), classes="title")
            yield Static(table)
            yield Static(
                Text(
                    "\nThe mouse works, and is not needed: a click goes to a row, another one "
                    "opens it, one on a title sorts. ctrl+p finds every action by its name.",
                    "dim",
                )
            )

    def action_close(self) -> None:
        """Back to the screen."""
        self.dismiss()


def screen_keys(screen: Screen[object]) -> list[tuple[str, str]]:
    """(keys, meaning) of everything that a key does on a screen now."""
    found: dict[str, list[str]] = {}
    # what a screen is for comes before how to move in it
    listed = sorted(screen.active_bindings.items(), key=lambda item: _moves(item[1].binding))
    for key, active in listed:
        binding = active.binding
        if binding.action.startswith(_OF_THE_TOOLKIT) or not binding.description:
            continue
        found.setdefault(active.tooltip or binding.description, []).append(_KEYS.get(key, key))
    return [(" ".join(dict.fromkeys(keys)), meaning) for meaning, keys in found.items()]


def _moves(binding: Binding) -> bool:
    return binding.action.startswith(_MOVES)
