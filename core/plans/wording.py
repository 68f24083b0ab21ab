"""What plans say about wrong names, and dotted keys that stop where a setting is a table."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from core.config.load import leaf_keys

_QUOTED_CHARS = 60


def near(wrong: str, known: Iterable[str], otherwise: str) -> str:
    """The nearest valid name as a question, or where the names are listed."""
    known = list(known)
    last = wrong.rsplit(".", 1)[-1]
    found = [name for name in known if name.rsplit(".", 1)[-1] == last]
    found = found or difflib.get_close_matches(wrong, known, n=1, cutoff=0.4)
    if "." not in wrong:
        ends = {name.rsplit(".", 1)[-1]: name for name in known}
        close = difflib.get_close_matches(last, ends, n=1, cutoff=0.6)
        found = [ends[end] for end in close] or found
    if found:
        return f"did you mean {' or '.join(map(repr, found[:3]))}?"
    return f"{otherwise} lists them"


def flat_settings(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys; the value of a setting may be a table itself."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name.removeprefix("start.") not in leaf_keys():
            flat |= flat_settings(value, f"{name}.")
        else:
            flat[name] = value
    return flat


def sentence(error: ValidationError, known: Mapping[str, Iterable[str]]) -> str:
    """The first thing that is wrong, with its place, its value and what is allowed.

    Args:
        error: What validation found.
        known: Names that are allowed, by the place they are allowed in; "" is the top.
    """
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    place = ".".join(parts)
    if first["type"] == "extra_forbidden":
        around = next((part for part in reversed(parts[:-1]) if not part.isdecimal()), "")
        return f"{place} is not known here; {near(parts[-1], known[around], 'docs/plans.md')}"
    if first["type"] == "missing":
        return f"{place} is missing; docs/plans.md says what belongs there"
    message = first["msg"].removeprefix("Value error, ")
    plain = isinstance(first["input"], str | int | float | bool)
    shown = repr(first["input"])[:_QUOTED_CHARS]
    value = f" (got {shown})" if plain and first["type"] != "value_error" else ""
    return f"{place}: {message}{value}" if place else f"{message}{value}"
