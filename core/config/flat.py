"""Nested settings as dotted keys; apart from the settings themselves, which are slow to import."""

from collections.abc import Mapping
from typing import Any

_LEAVES = (str, int, float, list, tuple, type(None))  # told faster than that it is no Mapping


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested dictionary as dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if not isinstance(value, _LEAVES) and isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
