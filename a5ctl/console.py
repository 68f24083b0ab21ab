"""The one console all is printed to, and the only door for text that models or data wrote."""

import io
import json
import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

_FILLING = re.compile(" +(?=\n)")
_BEYOND_ASCII = re.compile("[\x7f-\U0010ffff]")


class PatientConsole(Console):
    """A console that nobody has to watch: a reader that leaves does not stop the work."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)

    def _render_buffer(self, buffer: Iterable[Segment]) -> str:
        """Blanks that fill a line up are for screens; files and pipes get the text alone."""
        text = super()._render_buffer(buffer)
        return text if self.is_terminal else _FILLING.sub("", text)


def out() -> Console:
    """Console for results (standard output); NO_COLOR, pipes and COLUMNS are honoured by Rich."""
    _accept_any_text()
    return PatientConsole(highlight=False, soft_wrap=False)


def err() -> Console:
    """Console for messages and progress (standard error), so that piped results stay clean."""
    return PatientConsole(stderr=True, highlight=False)


def printable(text: str) -> str:
    """Make hostile text harmless: control and bidirectional characters become visible escapes.

    Newlines and tabs stay; everything else that could move the cursor, change colours, or
    reorder the line is shown as `\\x1b`-style escapes.
    """
    if text.isprintable():  # nothing that reorders is
        return text
    return "".join(
        char if char in "\n\t" or (char.isprintable() and not _reorders(char)) else _escaped(char)
        for char in text
    )


def plain(text: str, style: str = "") -> Text:
    """A Rich text of hostile content: never read as markup, never holding escape codes."""
    return Text(printable(text), style=style)


def print_json(value: Any) -> None:
    """Print one JSON document to standard output, without colours or wrapping.

    Characters that a terminal would act on are written as JSON escapes: the data stays the same.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str, allow_nan=False)
    _accept_any_text()
    sys.stdout.write(_BEYOND_ASCII.sub(_json_escaped, text) + "\n")


def json_line(value: Any) -> str:
    """One line of JSON; what a terminal would act on stands in it as escapes."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def print_text(text: str) -> None:
    """Print text for another program as it is; what it holds has to be `printable`."""
    _accept_any_text()
    sys.stdout.write(text)


def is_interactive() -> bool:
    """True when a person is looking: live displays are drawn only then."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _reorders(char: str) -> bool:
    return (
        char in "\u200e\u200f\u061c" or "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"
    )


def _accept_any_text() -> None:
    """Standard output that is not UTF-8 (a Windows pipe) shows escapes instead of failing."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _json_escaped(match: re.Match[str]) -> str:
    char = match.group()
    return char if printable(char) == char else json.dumps(char)[1:-1]


def _escaped(char: str) -> str:
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
