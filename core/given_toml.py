"""TOML that a person or a stranger wrote: any damage, depth or size ends as one kind of error."""

import re
import tomllib
from typing import Any

_DEEPEST = 64
_LONG_KEY = re.compile(
    rf"""(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{_DEEPEST}}}""", re.ASCII
)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a text.

    Raises:
        ValueError: it is no TOML, holds a number that is too long, or is nested too deep.
    """
    if _LONG_KEY.search(text):  # the parser's time and memory grow with the square of its length
        raise ValueError(f"a key has more than {_DEEPEST} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
