"""What every screen has in common: its way to the registry, its messages, its plain texts."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import WorkType

from a5ctl.console import plain
from core.errors import UserError

if TYPE_CHECKING:
    from a5ctl.tui.app import HouseApp
    from a5ctl.tui.desk import Desk
    from a5ctl.tui.follow import Change

NARROW, WIDE = "-narrow", "-wide"
WIDE_FROM = 130

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]


class HouseScreen(Screen[None]):
    """A screen of the program."""

    HORIZONTAL_BREAKPOINTS = [(0, NARROW), (WIDE_FROM, WIDE)]  # noqa: RUF012
    AUTO_FOCUS = "RowTable"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "app.help", "Keys", key_display="?"),
        Binding("escape,backspace", "back", "Back", key_display="esc"),
    ]

    @property
    def house(self) -> "HouseApp":
        """The program."""
        return cast("HouseApp", self.app)

    @property
    def desk(self) -> "Desk":
        """Where everything is read."""
        return self.house.desk

    async def ask(self, work: Callable[[], T]) -> T | None:
        """Read something in a thread; what goes wrong is told, and None comes back."""
        try:
            return await self.desk.read(work)
        except UserError as error:
            self.tell(str(error), "error")
            return None

    def tell(self, text: str, severity: str = "information") -> None:
        """A short message; nothing in it acts."""
        self.house.tell(text, severity)

    def follow(self, change: "Change") -> None:
        """The registry moved; screens that show what moved read it again."""

    def action_back(self) -> None:
        """To the screen before."""
        self.house.pop_screen()


def in_background(
    node: DOMNode,
    work: Callable[[], Coroutine[Any, Any, None]],
    group: str,
    *,
    latest: bool = False,
) -> None:
    """Do something beside the keys.

    Args:
        node: When it is gone, so is the work.
        work: What to do; it waits for threads, and must not keep the screen busy.
        group: Works of one kind.
        latest: An older work of the group is given up.
    """
    made: WorkType[None] = work
    node.run_worker(made, group=group, exclusive=latest)


class Plain(Static):
    """Text that is shown as it is: no markup, no escape codes."""

    def __init__(self, text: str | Text = "", *, id: str | None = None, classes: str = "") -> None:
        super().__init__("", id=id, classes=classes, markup=False)
        self._shown: Text | None = None
        self.say(text)

    def say(self, text: str | Text) -> None:
        """Show another text; a `Text` must hold nothing hostile."""
        wanted = plain(text) if isinstance(text, str) else text
        if wanted != self._shown or wanted.spans != getattr(self._shown, "spans", None):
            self._shown = wanted
            self.update(wanted)
