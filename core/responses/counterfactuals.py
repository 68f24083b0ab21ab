"""What the accuracy would be if one thing were otherwise, from what is stored."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.responses.breakdown import FailureBreakdown
from core.responses.names import FailureClass

LARGE_CLASS = 0.05
"""A failure class is worth a row from this share of all responses on."""
MOST_CLASSES = 4


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """An accuracy under one assumption.

    Attributes:
        name: Stable name, for programs.
        text: The assumption in words.
        low: Accuracy if what is assumed repairs only what is known to be right.
        high: Accuracy if it repairs everything that it touches; equal to `low` where nothing is
            left open.
        count: Wrong responses that it touches.
    """

    name: str
    text: str
    low: float
    high: float
    count: int


def counterfactuals(summary: FailureBreakdown) -> tuple[Counterfactual, ...]:
    """The accuracy as it is, and under each assumption that would change something."""
    if not summary.n:
        return ()
    rows = [_row(summary, "as_it_is", "as it is", 0, 0)]
    if summary.capped:
        text = "cut responses graded by their last number"
        rows.append(
            _row(summary, "capped_lenient", text, summary.capped_lenient_right, summary.capped)
        )
    if summary.failures:
        text = "all graded by their last number"
        rows.append(_row(summary, "all_lenient", text, summary.lenient_right, summary.failures))
    rows += [_mended(summary, failure) for failure in _large(summary)]
    if summary.recovered:
        text = "what probes recovered counted as right"
        rows.append(_row(summary, "probes", text, summary.recovered, summary.recovered))
    return tuple(rows)


def _large(summary: FailureBreakdown) -> Sequence[FailureClass]:
    """Classes that hold something back; mending a wrong number is just answering right."""
    counts = summary.by_class
    large = (
        failure
        for failure in sorted(counts, key=lambda name: -counts[name])
        if counts[failure] >= LARGE_CLASS * summary.n and failure is not FailureClass.WRONG_NUMBER
    )
    return list(large)[:MOST_CLASSES]


def _mended(summary: FailureBreakdown, failure: FailureClass) -> Counterfactual:
    count = summary.by_class[failure]
    return Counterfactual(
        name=f"mended_{failure}",
        text=f"{failure} mended",
        low=summary.accuracy_if_lenient(failure),
        high=summary.accuracy + count / summary.n,
        count=count,
    )


def _row(
    summary: FailureBreakdown, name: str, text: str, gained: int, count: int
) -> Counterfactual:
    accuracy = summary.accuracy + gained / summary.n
    return Counterfactual(name, text, accuracy, accuracy, count)
