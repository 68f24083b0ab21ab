"""The end of a log, and what is written to it while somebody watches."""

import io
from pathlib import Path

from textual.widgets import Log

from a5ctl.console import printable

_TAIL_BYTES = 128 * 1024
_MOST_LINES = 5_000
_EVERY_S = 1.0


class LogPane(Log):
    """Follows a file that may come later, grow, or be replaced."""

    def __init__(self, path: Path) -> None:
        super().__init__(highlight=False, max_lines=_MOST_LINES, auto_scroll=True)
        self._path = path
        self._read_to = 0
        self._said_nothing = False
        self._watched = False

    def on_mount(self) -> None:
        """Look at the file now and then."""
        self.set_interval(_EVERY_S, self._look)

    def watched(self, now: bool) -> None:
        """Whether anybody looks; nothing is read for nobody."""
        self._watched = now
        self._look()

    def _look(self) -> None:
        if self._watched:
            self.read()

    def read(self) -> None:
        """Show what was written since the last look."""
        try:
            size = self._path.stat().st_size
            if size < self._read_to:
                self._read_to = 0
                self.clear()
            if size == self._read_to:
                return
            with self._path.open("rb") as file:
                start = max(self._read_to, size - _TAIL_BYTES)
                file.seek(start)
                new = file.read(size - start)
        except FileNotFoundError:
            self._say_instead("no log: nothing that ran here had anything to log")
            return
        except OSError as error:
            self._say_instead(f"{error.strerror or error}: {self._path}")
            return
        if self._said_nothing:
            self._said_nothing = False
            self.clear()
        self._read_to = size
        text = io.StringIO(new.decode("utf-8", "replace"), newline=None).read()
        self.write(printable(text).replace("\t", "    "))

    def _say_instead(self, why: str) -> None:
        if not self._said_nothing:
            self._said_nothing = True
            self.write_line(printable(why))
