"""JSON from strangers: any damage, depth or size ends as one kind of error."""

import json
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.given_files import read_given
from core.interchange.limits import LARGEST_DOCUMENT


def decode(text: bytes | str) -> Any:
    """A value.

    Raises:
        ValueError: it is no JSON, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def load_document(path: Path) -> Any:
    """The value in a file that has to be read whole.

    Raises:
        UserError: the file is too large, no JSON, or cannot be read.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_DOCUMENT:
            raise UserError(
                f"{path} has {size:,} bytes; a JSON document is read up to {LARGEST_DOCUMENT:,}, "
                "so make JSON lines of it"
            )
        return decode(read_given(path, LARGEST_DOCUMENT))
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        why = str(error).partition(";")[0]
        raise UserError(f"{path} is not valid JSON ({why})") from error


def inside(root: Path, name: str) -> Path | None:
    """A regular file below a folder; None for anything else, links and `..` included."""
    try:
        folder = root.resolve()
        path = (folder / name).resolve()
        below = path.is_relative_to(folder) and path == folder / Path(name)
        return path if below and path.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None
