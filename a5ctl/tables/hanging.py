"""Long sentences under a heading: broken between words, and indented below their beginning."""

import textwrap

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.tables.fit import line_width

_STEP = 2


def hanging(line: str, style: str, console: Console) -> Text:
    """One line for the console; where it is too long, the rest stands a little to the right.

    Args:
        line: Hostile text; its own indentation is kept.
        style: Of all of it.
        console: Whose width it has to fit.
    """
    indent = len(line) - len(line.lstrip())
    return plain(
        textwrap.fill(
            line,
            line_width(console),
            subsequent_indent=" " * (indent + _STEP),
            break_long_words=False,
            break_on_hyphens=False,
        ),
        style,
    )
