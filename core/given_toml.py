"""TOML that a person or a stranger wrote: any damage, depth or size ends as one kind of error."""

import re
import tomllib
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.given_files import read_given_text

_DEEPEST = 64
# possessive, and from the beginning of words only: else a long word takes the square of its length
_LONG_KEY = re.compile(
    rf"""(?<![\w-])(?>(?>[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{_DEEPEST}}}""", re.ASCII
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


def read_toml_text(path: Path, origin: str) -> str:
    """The text of a TOML file, not parsed yet.

    Args:
        path: The file.
        origin: What to call it in messages: `config file train.toml`.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        return read_given_text(path)
    except OSError as error:
        raise UserError(f"{origin} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(_refusal(origin, error)) from error


def tables_of(text: str, origin: str) -> dict[str, Any]:
    """The tables of a text that has a name.

    Args:
        text: The text.
        origin: What to call it in messages.

    Raises:
        UserError: see `parse_toml`.
    """
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UserError(_refusal(origin, error)) from error


def _refusal(origin: str, error: ValueError) -> str:
    return f"{origin} is not valid TOML: {str(error).partition(';')[0]}"
