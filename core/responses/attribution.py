"""Where an accuracy difference between two runs comes from: format, truncation or math.

Each problem that changed sides gets one cause, so that the rows add up to the difference exactly.
This describes what happened; it does not prove why.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """What a changed problem is put down to."""

    FORMAT = "format"
    """The wrong side holds the right number last."""
    TRUNCATION = "truncation"
    """The wrong side was stopped by the length cap."""
    MATH = "math"
    """Neither."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One response to one problem, as far as attribution asks.

    Attributes:
        right: Right under the headline grader.
        lenient_right: Right under `lenient`.
        capped: Stopped by the length cap.
    """

    right: bool
    lenient_right: bool
    capped: bool


@dataclass(frozen=True, slots=True)
class AttributionRow:
    """The changed problems of one cause.

    Attributes:
        cause: What they are put down to.
        gained: Wrong in A, right in B; the cause is read off A.
        lost: Right in A, wrong in B; the cause is read off B.
    """

    cause: Cause
    gained: int
    lost: int

    @property
    def net(self) -> int:
        """Problems that this cause adds to B's score."""
        return self.gained - self.lost


@dataclass(frozen=True, slots=True)
class Attribution:
    """The difference between two runs on the same problems, split by cause.

    Attributes:
        n: Problems both runs answered.
        rows: One per cause, in the order of `Cause`.
    """

    n: int
    rows: tuple[AttributionRow, ...]

    @property
    def net(self) -> int:
        """Right answers of B minus right answers of A."""
        return sum(row.net for row in self.rows)

    @property
    def difference(self) -> float:
        """Accuracy of B minus accuracy of A."""
        return self.net / self.n if self.n else 0.0


def attribute(a: Mapping[str, Outcome], b: Mapping[str, Outcome]) -> Attribution:
    """Put every problem that changed from A to B down to a cause.

    Args:
        a: Problem id -> outcome in the run that is compared against.
        b: The same in the other run; problems that only one side has are left out.
    """
    shared = sorted(a.keys() & b.keys())
    gained = _count(a[key] for key in shared if b[key].right and not a[key].right)
    lost = _count(b[key] for key in shared if a[key].right and not b[key].right)
    rows = tuple(AttributionRow(cause, gained[cause], lost[cause]) for cause in Cause)
    return Attribution(n=len(shared), rows=rows)


def cause_of(wrong: Outcome) -> Cause:
    """The cause that the wrong one of two outcomes shows."""
    if wrong.lenient_right:
        return Cause.FORMAT
    return Cause.TRUNCATION if wrong.capped else Cause.MATH


def _count(wrong: Iterable[Outcome]) -> Counter[Cause]:
    return Counter(cause_of(outcome) for outcome in wrong)
