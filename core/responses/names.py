"""The names that grading speaks in: graders, failure classes, flags, response types."""

from collections.abc import Iterable, Mapping
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


DESCRIPTIONS: Mapping[FailureClass, str] = {
    FailureClass.TRUNCATED_THINKING: "the length cap cut it before it opened an answer",
    FailureClass.TRUNCATED_ANSWER: "the length cap cut it inside the answer",
    FailureClass.STOPPED_WITHOUT_ANSWER: "it ended by itself without opening an answer",
    FailureClass.MISSING_ANSWER_OPEN: "it closes an answer that it never opened",
    FailureClass.UNCLOSED_ANSWER: "it ended by itself inside the answer, without </answer>",
    FailureClass.MISSING_THINK_CLOSE: "it answers without closing its reasoning with </think>",
    FailureClass.BAD_SEPARATOR: "not exactly one space stands between </think> and <answer>",
    FailureClass.REPEATED_TAGS: "a tag that may stand once stands several times, or out of order",
    FailureClass.TRAILING_TEXT: "it goes on after </answer>",
    FailureClass.EMPTY_ANSWER: "the answer is empty",
    FailureClass.PLACEHOLDER_ANSWER: "the answer is the prompt's own placeholder",
    FailureClass.SENTENCE_ANSWER: "the answer is a sentence where a bare result was asked for",
    FailureClass.SEVERAL_NUMBERS: "the answer holds several numbers",
    FailureClass.NOT_A_NUMBER: "the answer holds no number",
    FailureClass.RIGHT_NUMBER_REFUSED: "the number is right, but the grader refuses its form",
    FailureClass.GRADER_TIMEOUT: "comparing the answer took longer than the time limit",
    FailureClass.UNKNOWN_STOP: "it has no complete answer, and why it ended was not recorded",
    FailureClass.WRONG_NUMBER: "the answer is well formed and wrong",
}
"""What each class means, in words that complete 'this response is wrong: ...'."""


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
