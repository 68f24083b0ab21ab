"""What other tools' files may bring in: sizes, depths, and names that are safe to keep.

The limits are far above what real runs hold. What is beyond them is left out and counted; it never
stops an import, and never fills memory or the registry.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from core.registry.codec import clean
from core.units import MIB

MOST_VALUES = 10_000_000
"""Metric values of one run; 24 bytes each in memory."""
MOST_NAMES = 20_000
"""Different metrics of one run."""
LONGEST_NAME = 250
LONGEST_TEXT = 20_000
MOST_SETTINGS = 2_000
DEEPEST = 12
"""Levels of nested settings; registry and listings walk them."""
LONGEST_RECORD = 16 * MIB
LONGEST_LINE = 64 * MIB
MOST_RESPONSES = 200_000
"""Of one step; all of them are graded at a time."""
LARGEST_DOCUMENT = 512 * MIB
"""Bytes of a JSON file that has to be read whole."""
LARGEST_STEP = 2**31 - 1
_SECRET = re.compile(
    r"(?i)(api|access|auth|secret|private)[_-]?key|secret|passw|credential|cookie"
    r"|(api|access|auth|bearer|hf|hub|wandb|github)[_-]?token$"
)
_LATEST_TIME = 253_402_300_799.0  # the year 9999: what dates can show


def short_text(text: object, longest: int = LONGEST_TEXT) -> str:
    """Text that any database takes: no lone surrogates, no NUL, and not without end."""
    kept = clean(str(text)).replace("\0", "\\0")
    return kept if len(kept) <= longest else f"{kept[: longest - 3]}..."


def short_name(text: object) -> str:
    """A name in one line; what cannot be printed becomes a visible escape."""
    shown = (char if char.isprintable() else _escaped(char) for char in str(text)[:LONGEST_NAME])
    return short_text("".join(shown), LONGEST_NAME).strip()


def time_of(seconds: object) -> float | None:
    """A time in seconds since the epoch; None where it is none that a date can show."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    return float(seconds) if 0 < seconds <= _LATEST_TIME else None


def step_of(value: object) -> int | None:
    """A step; None where it is no whole number from 0 that the registry can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= LARGEST_STEP or value != int(value):
        return None
    return int(value)


def number_of(value: object) -> float | None:
    """A metric's value: a number, or the name of one that JSON cannot hold; None otherwise."""
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int | float):
        return float(value) if abs(value) <= 1e308 or isinstance(value, float) else None
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]
    return None


_NAMED = {
    **dict.fromkeys(("NaN", "nan"), math.nan),
    **dict.fromkeys(("Infinity", "inf", "+Infinity"), math.inf),
    **dict.fromkeys(("-Infinity", "-inf"), -math.inf),
}


def tidy_settings(tree: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Settings that the registry can hold, and how many entries were left out or cut.

    Args:
        tree: Decoded from JSON, or put together from parameters.
    """
    budget = [MOST_SETTINGS, 0]
    kept = _tidy(tree, budget, 0)
    assert isinstance(kept, dict)
    return kept, budget[1]


def is_secret(name: str, value: Any) -> bool:
    """Whether a setting looks like a key or password; names of special tokens do not."""
    return isinstance(value, str) and len(value) >= 8 and bool(_SECRET.search(name))


def _tidy(value: Any, budget: list[int], depth: int) -> Any:
    """`budget` holds the entries that may still come, and counts those left out."""
    if isinstance(value, str):
        return short_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else short_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEEPEST or not isinstance(value, Mapping | list | tuple):
        budget[1] += 1
        return None
    if isinstance(value, Mapping):
        items = [(short_name(key), item) for key, item in value.items()]
        told = [(key, item) for key, item in items if not is_secret(key, item)]
        budget[1] += len(items) - len(told)
        return {key: _tidy(item, budget, depth + 1) for key, item in told if _afford(budget)}
    return [_tidy(item, budget, depth + 1) for item in value if _afford(budget)]


def _afford(budget: list[int]) -> bool:
    if budget[0] <= 0:
        budget[1] += 1
        return False
    budget[0] -= 1
    return True


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
