"""The names that grading speaks in: graders, failure classes, flags, response types."""

from collections.abc import Iterable
from enum import StrEnum


class GraderName(StrEnum):
    """The graders; each owns its format rule and its equality."""

    R1_ZERO = "r1_zero"
    STRICT = "strict"
    LENIENT = "lenient"
    DIAGNOSTIC = "diagnostic"
    QUESTION_ONLY = "question_only"
    MULTIPLE_CHOICE = "multiple_choice"
    """Judges only problems that show options; the others judge every problem."""


GRADER_VERSIONS: dict[GraderName, int] = {
    **dict.fromkeys(GraderName, 2),
    GraderName.MULTIPLE_CHOICE: 1,
}
"""Raised whenever a grader's verdict on any text changes."""


class ResponseType(StrEnum):
    """Where a response stands under one grader."""

    TYPE1 = "type1"
    """Formatted and right."""
    TYPE2 = "type2"
    """Formatted and wrong."""
    TYPE3 = "type3"
    """Not formatted."""


class FailureClass(StrEnum):
    """Why a response is wrong, ordered by cause: what went wrong first comes first."""

    TRUNCATED_THINKING = "truncated_thinking"
    TRUNCATED_ANSWER = "truncated_answer"
    STOPPED_WITHOUT_ANSWER = "stopped_without_answer"
    MISSING_ANSWER_OPEN = "missing_answer_open"
    UNCLOSED_ANSWER = "unclosed_answer"
    MISSING_THINK_CLOSE = "missing_think_close"
    BAD_SEPARATOR = "bad_separator"
    REPEATED_TAGS = "repeated_tags"
    TRAILING_TEXT = "trailing_text"
    EMPTY_ANSWER = "empty_answer"
    PLACEHOLDER_ANSWER = "placeholder_answer"
    SENTENCE_ANSWER = "sentence_answer"
    SEVERAL_NUMBERS = "several_numbers"
    NOT_A_NUMBER = "not_a_number"
    RIGHT_NUMBER_REFUSED = "right_number_refused"
    GRADER_TIMEOUT = "grader_timeout"
    UNKNOWN_STOP = "unknown_stop"
    WRONG_NUMBER = "wrong_number"


class FailureFlag(StrEnum):
    """Observations about a response that can hold together."""

    DEGENERATE_REPETITION = "degenerate_repetition"
    RIGHT_BY_LAST_NUMBER = "right_by_last_number"
    RIGHT_BY_R1_ZERO = "right_by_r1_zero"
    TEMPLATE_COPY = "template_copy"


VERDICT_FLAGS = frozenset({FailureFlag.RIGHT_BY_LAST_NUMBER, FailureFlag.RIGHT_BY_R1_ZERO})
"""Flags that say what other graders think; they mean something where the one asked says wrong."""


def telling_flags(flags: Iterable[FailureFlag], *, right: bool) -> frozenset[FailureFlag]:
    """The flags that say something beside one grader's verdict.

    What other graders think matters where this one says wrong; facts of the text (repetition,
    template copy) always do.
    """
    return frozenset(flags) - VERDICT_FLAGS if right else frozenset(flags)
