"""What plans say about wrong fields, and dotted keys that stop where a setting is a table."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from core.config.load import leaf_keys
from core.nearest import near
from core.wrong_fields import first_wrong


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
    wrong = first_wrong(error)
    if wrong.unknown:
        *above, name = wrong.parts
        around = next((part for part in reversed(above) if not part.isdecimal()), "")
        return f"{wrong.place} is not known here; {near(name, known[around], 'docs/plans.md')}"
    if wrong.missing:
        return f"{wrong.place} is missing; docs/plans.md says what belongs there"
    return wrong.sentence
