"""What a program that was started from here prints."""

from pathlib import Path

from textual.app import ComposeResult
from textual.widgets import Footer

from a5ctl.tui.house import HouseScreen, Plain
from a5ctl.tui.log_pane import LogPane


class LogScreen(HouseScreen):
    """One log, followed."""

    AUTO_FOCUS = "LogPane"

    def __init__(self, title: str, path: Path) -> None:
        super().__init__()
        self._title, self._path = title, path

    def compose(self) -> ComposeResult:
        """The title, the log, the keys."""
        yield Plain(f"{self._title}  {self._path}", classes="headline line")
        yield LogPane(self._path)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Follow the log."""
        self.query_one(LogPane).watched(True)
