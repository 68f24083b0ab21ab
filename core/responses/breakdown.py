"""The failures of one evaluation, counted: by class, by flag, and by format x math."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from core.engines.base import FinishReason
from core.responses.names import FailureClass, FailureFlag

UNFINISHED = frozenset(
    {
        FailureClass.TRUNCATED_THINKING,
        FailureClass.TRUNCATED_ANSWER,
        FailureClass.STOPPED_WITHOUT_ANSWER,
        FailureClass.MISSING_ANSWER_OPEN,
        FailureClass.UNCLOSED_ANSWER,
        FailureClass.UNKNOWN_STOP,
    }
)
"""Classes of responses without a complete answer."""

FORMAT_CLASSES = UNFINISHED | {
    FailureClass.MISSING_THINK_CLOSE,
    FailureClass.BAD_SEPARATOR,
    FailureClass.REPEATED_TAGS,
    FailureClass.TRAILING_TEXT,
}
"""Classes that say that the tags are not as they should be."""

# A response that was cut, or that could not be compared, shows neither right nor wrong math.
_PROVES_NOTHING = frozenset(
    {
        FailureClass.TRUNCATED_THINKING,
        FailureClass.TRUNCATED_ANSWER,
        FailureClass.UNKNOWN_STOP,
        FailureClass.GRADER_TIMEOUT,
    }
)


class FormatState(StrEnum):
    """Whether a failed response keeps the grader's format."""

    OK = "ok"
    NOT_OK = "not_ok"


class MathState(StrEnum):
    """What a failed response shows about its math."""

    RIGHT = "right"
    """The right number stands last, or a probe recovered it."""
    WRONG = "wrong"
    """It came to an end with another number, or with none."""
    UNDETERMINED = "undetermined"
    """It was cut before its answer was complete, or could not be compared in time."""


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """One response under one grader, as a registry holds it.

    Attributes:
        failure: Its failure class; None when it is right.
        lenient_right: Right under `lenient`.
        finish: Why it ended.
        tokens: Length in tokens.
        flags: What was observed about it.
        recovered: A probe (for example a longer cap) made it right.
    """

    failure: FailureClass | None
    lenient_right: bool
    finish: FinishReason
    tokens: int
    flags: frozenset[FailureFlag] = frozenset()
    recovered: bool = False

    @property
    def math(self) -> MathState:
        """What it shows about the math; an open, capped response alone proves nothing."""
        if self.failure is None or self.lenient_right or self.recovered:
            return MathState.RIGHT
        return MathState.UNDETERMINED if self.failure in _PROVES_NOTHING else MathState.WRONG

    @property
    def format(self) -> FormatState:
        """Whether its tags are as they should be."""
        return FormatState.NOT_OK if self.failure in FORMAT_CLASSES else FormatState.OK

    @property
    def capped(self) -> bool:
        """The length cap stopped it."""
        return self.finish is FinishReason.LENGTH


@dataclass(frozen=True, slots=True)
class FailureBreakdown:
    """The failures of one evaluation under one grader.

    Attributes:
        n: Responses.
        failures: Wrong responses.
        by_class: Wrong responses per class, classes without any left out, in the enum's order.
        lenient_right_by_class: Those of each class whose right number stands last.
        by_flag: Wrong responses per flag.
        by_state: Wrong responses per (format, math).
        unclosed: Wrong responses without a complete answer.
        unclosed_capped: Those of them that the length cap stopped.
        lenient_right: Wrong responses whose right number stands last.
        recovered: Wrong responses that a probe made right.
        capped: Wrong responses that the length cap stopped, whatever they hold.
        capped_lenient_right: Those of them whose right number stands last.
    """

    n: int
    failures: int
    by_class: Mapping[FailureClass, int]
    lenient_right_by_class: Mapping[FailureClass, int]
    by_flag: Mapping[FailureFlag, int]
    by_state: Mapping[tuple[FormatState, MathState], int]
    unclosed: int
    unclosed_capped: int
    lenient_right: int
    recovered: int
    capped: int
    capped_lenient_right: int

    @property
    def accuracy(self) -> float:
        """Share of right responses."""
        return (self.n - self.failures) / self.n if self.n else 0.0

    def with_math(self, state: MathState) -> int:
        """Failures whose math is in this state, whatever their format."""
        return sum(self.by_state[fmt, state] for fmt in FormatState)

    def accuracy_if_lenient(self, failure: FailureClass) -> float:
        """Accuracy if this class alone were graded by its last number."""
        gained = self.lenient_right_by_class.get(failure, 0)
        return self.accuracy + gained / self.n if self.n else 0.0


def break_down(rows: Iterable[OutcomeRow]) -> FailureBreakdown:
    """Count the outcomes of one evaluation under one grader."""
    everything = list(rows)
    wrong = [row for row in everything if row.failure is not None]
    states = Counter((row.format, row.math) for row in wrong)
    unclosed = [row for row in wrong if row.failure in UNFINISHED]
    return FailureBreakdown(
        n=len(everything),
        failures=len(wrong),
        by_class=_per_class(wrong),
        lenient_right_by_class=_per_class([row for row in wrong if row.lenient_right]),
        by_flag={flag: sum(flag in row.flags for row in wrong) for flag in FailureFlag},
        by_state={(f, m): states[f, m] for f in FormatState for m in MathState},
        unclosed=len(unclosed),
        unclosed_capped=sum(row.capped for row in unclosed),
        lenient_right=sum(row.lenient_right for row in wrong),
        recovered=sum(row.recovered for row in wrong),
        capped=sum(row.capped for row in wrong),
        capped_lenient_right=sum(row.capped and row.lenient_right for row in wrong),
    )


def right_last_words(count: int) -> str:
    """`1 holds the right number last`: said wherever wrong responses are counted."""
    return f"{count:,} {'holds' if count == 1 else 'hold'} the right number last"


def _per_class(rows: Iterable[OutcomeRow]) -> dict[FailureClass, int]:
    counts = Counter(row.failure for row in rows)
    return {failure: counts[failure] for failure in FailureClass if counts[failure]}
