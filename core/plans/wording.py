"""What plans say about wrong fields, and dotted keys that stop where a setting is a table."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from core.config.load import leaf_keys
from core.nearest import near

_QUOTED_CHARS = 60


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
