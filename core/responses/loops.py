"""Degenerate repetition: a text that ends in a loop, or of which one loop makes up half and more.

A loop is at least 4 repeats of the same up to 150 characters, at least 60 characters in all.
"""

import math
from collections.abc import Iterator

REPEAT_CHARS = 60
REPEAT_TIMES = 4
LONGEST_PERIOD = 150
_SHORTEST_RECURRENCE = REPEAT_CHARS - REPEAT_CHARS // REPEAT_TIMES
_PROBE = 15


def is_loop(text: str) -> bool:
    """The text ends in a loop, or at least half of it is one."""
    return _ends_in_loop(text) or _is_mostly_loop(text)


def _ends_in_loop(text: str) -> bool:
    text = text[-LONGEST_PERIOD * REPEAT_TIMES - 50 :].rstrip()
    if len(text) < REPEAT_CHARS:
        return False
    # In a loop, all but its first round stands a second time one period earlier. That is asked of
    # the shortest end that any loop has in common, because it rules out nearly every text at once.
    end = text[-_SHORTEST_RECURRENCE:]
    at = text.rfind(end, 0, -1)
    while at >= 0:
        period = len(text) - len(end) - at
        if period > LONGEST_PERIOD:
            return False
        times = max(REPEAT_TIMES, math.ceil(REPEAT_CHARS / period))
        if text.endswith(text[-period:] * times):
            return True
        at = text.rfind(end, 0, at + len(end) - 1)
    return False


def _is_mostly_loop(text: str) -> bool:
    """A loop of half the text holds its middle, and much of one side of it."""
    if len(text) < REPEAT_CHARS:
        return False
    for at, period in _recurrences(text, len(text) // 2):
        length = _shared_after(text, at, period) + _shared_before(text, at, period) + period
        if length >= max(REPEAT_CHARS, REPEAT_TIMES * period, len(text) / 2):
            return True
    return False


def _recurrences(text: str, middle: int) -> Iterator[tuple[int, int]]:
    """(offset, period): places beside the middle whose characters stand again a period later."""
    for start in (middle, middle - _PROBE):
        probe = text[start : start + _PROBE]
        end = start + LONGEST_PERIOD + _PROBE
        again = text.find(probe, start + 1, end)
        while again >= 0:
            yield start, again - start
            again = text.find(probe, again + 1, end)
    first = max(0, start - LONGEST_PERIOD)
    before = text.rfind(probe, first, start + _PROBE - 1)
    while before >= 0:
        yield before, start - before
        before = text.rfind(probe, first, before + _PROBE - 1)


def _shared_after(text: str, at: int, period: int) -> int:
    """How many characters from `at` on equal those one period later, by galloping over slices."""
    limit, shared, step = len(text) - at - period, 0, 16
    while step and shared < limit:
        i = at + shared
        if text[i : i + step] == text[i + period : i + period + step]:
            shared += step
            step *= 2
        else:
            step //= 2
    return min(shared, limit)


def _shared_before(text: str, at: int, period: int) -> int:
    """How many characters up to `at` equal those one period later."""
    shared, step = 0, 16
    while step and shared < at:
        step = min(step, at - shared)
        i = at - shared
        if text[i - step : i] == text[i - step + period : i + period]:
            shared += step
            step *= 2
        else:
            step //= 2
    return shared
