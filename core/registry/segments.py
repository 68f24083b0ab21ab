"""Which steps of which segment count: a resume or rollback supersedes what came after it."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VisibleRange:
    """Steps of one segment that count: all up to `last_step`, all of them where it is None."""

    segment: int
    last_step: int | None

    def holds(self, step: int) -> bool:
        """Whether a step of this segment counts."""
        return self.last_step is None or step <= self.last_step


def visible_ranges(starts: Iterable[tuple[int, int]]) -> list[VisibleRange]:
    """The part of every segment that no newer one supersedes, oldest first.

    Args:
        starts: (number, start step) of every segment but the first, which is 0 and starts a run.
            A segment holds the steps after its start step.
    """
    ranges = []
    limit: int | None = None
    for number, start in sorted(starts, reverse=True):
        ranges.append(VisibleRange(number, limit))
        limit = start if limit is None else min(limit, start)
    ranges.append(VisibleRange(0, limit))
    return ranges[::-1]
