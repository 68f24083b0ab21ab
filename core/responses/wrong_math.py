"""Is the arithmetic worse than that of a working small model? Counted over well-formed answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.responses.calculations import check_calculations
from core.statistics.intervals import wilson_interval

WORKING = 0.45
"""Working models of this size get 45 to 75% right."""
FAR_BELOW = 1 / 3
"""Right in less than one of three well-formed answers (upper end of the interval): the built-in
model is above it from 256 examples on in every seed tried, and so are fine-tuned models of 0.5B
and more on GSM8K."""
FALSE_CALCULATIONS = 0.30
"""Share of written calculations that do not hold (lower end). Complete fine-tunings of the built-in
model write 8 to 14% false ones, larger models far fewer."""
LOST = 0.10
"""How far the last numbers fell since the run began (lower end of the paired interval), in a run
that is below the working models; two seeds of one setting differ by half."""
_MAJORITY = 0.5
_LEAST = 20


@dataclass(frozen=True, slots=True)
class Marked:
    """A well-formed response, and whether it is right."""

    text: str
    right: bool


@dataclass(frozen=True, slots=True)
class Earlier:
    """What the weights could do when the run began, on the same problems, by the last number.

    Attributes:
        run: Id of the run that measured it: this one, or the one it started from.
        step: Step of that run.
        before: Share right then.
        now: Share right now.
        low: Lower end of the 95% interval of how far it fell.
    """

    run: str
    step: int
    before: float
    now: float
    low: float

    @property
    def fell(self) -> bool:
        """Far enough to say that the training broke it."""
        return self.low >= LOST


def math_evidence(
    marked: Sequence[Marked], n: int, weight: float, earlier: Earlier | None
) -> str | None:
    """The sentence that accuses the math; None where it is that of a working model.

    Args:
        marked: The well-formed responses.
        n: All responses; where less than half are well-formed the format is no match for it.
        weight: Independent responses per response.
        earlier: What the model could do when the run began.
    """
    if len(marked) < _LEAST or len(marked) < _MAJORITY * n:
        return None
    right = sum(row.right for row in marked)
    _, high = wilson_interval(right * weight, len(marked) * weight)
    if high >= WORKING:
        return None
    checked = [check_calculations(row.text) for row in marked]
    written, false = sum(c.written for c in checked), sum(c.false for c in checked)
    # Calculations of one response depend on each other: each response weighs as one.
    low = _low(false, written, len(marked) * weight) if written else 0.0
    fell = earlier is not None and earlier.fell
    if high >= FAR_BELOW and low < FALSE_CALCULATIONS and not fell:
        return None
    said = (
        f"{right:,} of {len(marked):,} well-formed answers are right ({right / len(marked):.1%}; "
        f"working models of this kind get 45 to 75%)"
    )
    if written:
        said += f"; {false:,} of {written:,} written calculations are false ({false / written:.0%})"
    if earlier is not None and fell:
        said += (
            f"; by the last number {earlier.before:.1%} were right before "
            f"({earlier.run} step {earlier.step}), {earlier.now:.1%} are now"
        )
    return said


def _low(false: int, written: int, worth: float) -> float:
    low, _ = wilson_interval(worth * false / written, worth)
    return low
