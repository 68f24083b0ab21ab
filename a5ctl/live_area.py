"""The part of a terminal that is drawn anew while something works; nothing where none is there."""

from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from a5ctl.console import is_interactive

# one refresh takes over a millisecond, and eight a second took more than 1% of a core
_REFRESHES_PER_SECOND = 2


class LiveArea:
    """Shows `_shown` at the bottom of a terminal, and takes it away at the end.

    Use as a context manager, so that the cursor is restored however the work ends. `_live` is None
    where nobody looks on: lines are printed there instead.

    Attributes:
        console: Where it is drawn.
        quiet: Show nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._shown: RenderableType = Text("")
        self._live: Live | None = None
        if is_interactive() and not quiet:
            self._live = Live(
                console=console,
                refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
                get_renderable=lambda: self._shown,
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._shown = Text("")
        if self._live is not None:
            self._live.stop()
