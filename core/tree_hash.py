"""A short name for nested settings: the same for the same content, in whatever order it stands."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any


def canonical_json(tree: Mapping[str, Any], default: Callable[[Any], Any] | None = None) -> str:
    """A nested dictionary as the one JSON text that it has: keys in order, no blanks, ASCII.

    Args:
        tree: JSON-ready, but for what `default` can turn.
        default: Turns what JSON has no form for; without it such a value raises TypeError.
    """
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), default=default)


def tree_hash(
    tree: Mapping[str, Any], digits: int, default: Callable[[Any], Any] | None = None
) -> str:
    """The first hex digits (64 are all) of the SHA-256 of `canonical_json`."""
    return hashlib.sha256(canonical_json(tree, default).encode()).hexdigest()[:digits]
