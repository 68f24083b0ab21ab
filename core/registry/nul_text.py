"""Text with NUL characters for what takes every character but that one.

A NUL becomes two characters, a private one and `0`; the private character itself becomes two as
well. PostgreSQL holds its texts so, and lists for SQLite's JSON functions, which end a text at a
NUL, hold them so.
"""

import re

ESCAPE = "\uf8f0"
"""The private character."""

_BACK = {"0": "\0", "1": ESCAPE}
_PAIR = re.compile(f"{ESCAPE}([01])")


def escaped(text: str) -> str:
    """The text without NUL characters."""
    if "\0" not in text and ESCAPE not in text:
        return text
    return text.replace(ESCAPE, f"{ESCAPE}1").replace("\0", f"{ESCAPE}0")


def unescaped(text: str) -> str:
    """The inverse of `escaped`."""
    return _PAIR.sub(lambda found: _BACK[found[1]], text) if ESCAPE in text else text
