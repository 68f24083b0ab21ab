"""Where an accuracy difference between two runs comes from: format, truncation or math.

Each problem that changed sides gets one cause, so that the rows add up to the difference exactly.
This describes what happened; it does not prove why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


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
    """The changed problems of one cause; parts of problems where there are several samples.

    Attributes:
        cause: What they are put down to.
        gained: Wrong in A, right in B; the cause is read off A.
        lost: Right in A, wrong in B; the cause is read off B.
    """

    cause: Cause
    gained: Fraction
    lost: Fraction

    @property
    def net(self) -> Fraction:
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
    def net(self) -> Fraction:
        """Problems that B gets right minus problems that A gets right."""
        return sum((row.net for row in self.rows), Fraction())

    @property
    def difference(self) -> float:
        """Accuracy of B minus accuracy of A, every problem counting once."""
        return float(self.net / self.n) if self.n else 0.0


def attribute(
    a: Mapping[str, Sequence[Outcome]], b: Mapping[str, Sequence[Outcome]]
) -> Attribution:
    """Put every problem that changed from A to B down to a cause.

    Samples of one problem have no order, so each of A meets each of B: a problem is gained by the
    share of these pairs that are wrong in A and right in B. With one sample that is 0 or 1. With
    a and b the shares right, gained minus lost is (1 - a) b - a (1 - b) = b - a, so the rows add
    up to the difference exactly.

    Args:
        a: Problem id -> outcomes of its samples in the run that is compared against; at least one.
        b: The same in the other run; problems that only one side has are left out.
    """
    shared = a.keys() & b.keys()
    gained: dict[Cause, Fraction] = dict.fromkeys(Cause, Fraction())
    lost = dict(gained)
    for key in shared:
        before, after = a[key], b[key]
        for cause in Cause:
            gained[cause] += _wrong(before, cause) * _right(after)
            lost[cause] += _right(before) * _wrong(after, cause)
    rows = tuple(AttributionRow(cause, gained[cause], lost[cause]) for cause in Cause)
    return Attribution(n=len(shared), rows=rows)


def cause_of(wrong: Outcome) -> Cause:
    """The cause that the wrong one of two outcomes shows."""
    if wrong.lenient_right:
        return Cause.FORMAT
    return Cause.TRUNCATION if wrong.capped else Cause.MATH


def _right(samples: Sequence[Outcome]) -> Fraction:
    return Fraction(sum(sample.right for sample in samples), len(samples))


def _wrong(samples: Sequence[Outcome], cause: Cause) -> Fraction:
    """Share of the samples that are wrong by this cause."""
    count = sum(not sample.right and cause_of(sample) is cause for sample in samples)
    return Fraction(count, len(samples))
