"""TOML that a person wrote: what is wrong in it comes back as one sentence."""

import tomllib
from pathlib import Path
from typing import Any

from core.errors import UserError


def read_toml_text(path: Path, origin: str) -> str:
    """The text of a TOML file, not parsed yet.

    Args:
        path: The file.
        origin: What to call it in messages: `config file train.toml`.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{origin} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{origin} is not valid TOML: {_reason(error)}") from error


def parse_toml(text: str, origin: str) -> dict[str, Any]:
    """A text as nested tables.

    Args:
        text: The text.
        origin: What to call it in messages.

    Raises:
        UserError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{origin} is not valid TOML: it is nested too deep") from error
    except ValueError as error:
        raise UserError(f"{origin} is not valid TOML: {_reason(error)}") from error


def _reason(error: ValueError) -> str:
    return str(error).partition(";")[0]
