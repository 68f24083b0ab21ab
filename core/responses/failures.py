"""Why a response is wrong: one primary class under each grader, and flags beside it."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from core.engines.base import FinishReason
from core.responses.names import FailureClass, FailureFlag, GraderName
from core.responses.numerals import find_numerals
from core.responses.parse import ParsedResponse

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

_WORD = re.compile(r"[^\W\d_]{2,}")
_BOX = re.compile(r"\\boxed\s*\{?")
_REPEAT_CHARS = 60
_REPEAT_TIMES = 4
_LONGEST_PERIOD = 150
_SHORTEST_RECURRENCE = _REPEAT_CHARS - _REPEAT_CHARS // _REPEAT_TIMES


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a failure is classified from.

    Attributes:
        parsed: The response.
        finish: Why it ended.
        truth: Value of the truth when it is a number, else None.
        extracted: What the grader compared with the truth; None when it found nothing.
        timed_out: The comparison ran into its time limit.
        answer_placeholders: Stripped texts that the prompt shows in place of an answer.
    """

    parsed: ParsedResponse
    finish: FinishReason
    truth: Fraction | None
    extracted: str | None
    timed_out: bool
    answer_placeholders: frozenset[str]


def classify(grader: GraderName, evidence: Evidence) -> FailureClass:
    """The primary class of a response that `grader` calls wrong: the first cause that applies."""
    if grader is GraderName.QUESTION_ONLY:
        unfinished = _unfinished_box(evidence)
        answer = evidence.extracted or ""
    else:
        unfinished = _unfinished_answer(evidence) or _broken_format(grader, evidence.parsed)
        answer = evidence.parsed.answer_text or ""
    return unfinished or _bad_answer(answer, evidence)


def response_flags(
    evidence: Evidence,
    *,
    right_by_last_number: bool,
    right_by_r1_zero: bool,
    reasoning_placeholders: frozenset[str],
) -> frozenset[FailureFlag]:
    """Everything that was observed about a response, right or wrong."""
    parsed = evidence.parsed
    answer = parsed.answer_text
    copied = parsed.reasoning.strip() in reasoning_placeholders or (
        answer is not None and answer.strip() in evidence.answer_placeholders
    )
    observed = {
        FailureFlag.DEGENERATE_REPETITION: is_degenerate(parsed),
        FailureFlag.RIGHT_BY_LAST_NUMBER: right_by_last_number,
        FailureFlag.RIGHT_BY_R1_ZERO: right_by_r1_zero,
        FailureFlag.TEMPLATE_COPY: copied,
    }
    return frozenset(flag for flag, holds in observed.items() if holds)


def is_degenerate(parsed: ParsedResponse) -> bool:
    """The response, its reasoning or its answer ends in a loop.

    A loop is at least 4 repeats of the same up to 150 characters, at least 60 characters in all.
    """
    return any(
        _ends_in_loop(part) for part in (parsed.text, parsed.reasoning, parsed.answer_text or "")
    )


def _ends_in_loop(text: str) -> bool:
    text = text[-_LONGEST_PERIOD * _REPEAT_TIMES - 50 :].rstrip()
    if len(text) < _REPEAT_CHARS:
        return False
    # In a loop, all but its first round stands a second time one period earlier. That is asked of
    # the shortest end that any loop has in common, because it rules out nearly every text at once.
    end = text[-_SHORTEST_RECURRENCE:]
    at = text.rfind(end, 0, -1)
    while at >= 0:
        period = len(text) - len(end) - at
        if period > _LONGEST_PERIOD:
            return False
        times = max(_REPEAT_TIMES, math.ceil(_REPEAT_CHARS / period))
        if text.endswith(text[-period:] * times):
            return True
        at = text.rfind(end, 0, at + len(end) - 1)
    return False


def _unfinished_answer(evidence: Evidence) -> FailureClass | None:
    """The class of a response that has no complete answer between tags."""
    parsed = evidence.parsed
    if parsed.closed:
        return None
    if parsed.answer_opens:
        return _by_finish(
            evidence.finish, FailureClass.TRUNCATED_ANSWER, FailureClass.UNCLOSED_ANSWER
        )
    if parsed.answer_closes:
        return FailureClass.MISSING_ANSWER_OPEN
    return _by_finish(
        evidence.finish, FailureClass.TRUNCATED_THINKING, FailureClass.STOPPED_WITHOUT_ANSWER
    )


def _unfinished_box(evidence: Evidence) -> FailureClass | None:
    """The class of a response that has no complete `\\boxed{}`."""
    if evidence.extracted is not None:
        return None
    if _BOX.search(evidence.parsed.text) is not None:
        return _by_finish(
            evidence.finish, FailureClass.TRUNCATED_ANSWER, FailureClass.UNCLOSED_ANSWER
        )
    return _by_finish(
        evidence.finish, FailureClass.TRUNCATED_THINKING, FailureClass.STOPPED_WITHOUT_ANSWER
    )


def _by_finish(finish: FinishReason, capped: FailureClass, stopped: FailureClass) -> FailureClass:
    if finish is FinishReason.LENGTH:
        return capped
    return FailureClass.UNKNOWN_STOP if finish is FinishReason.UNKNOWN else stopped


def _broken_format(grader: GraderName, parsed: ParsedResponse) -> FailureClass | None:
    """The first thing wrong with the tags of a closed response."""
    if not parsed.think_closes:
        return FailureClass.MISSING_THINK_CLOSE
    if "</think> <answer>" not in parsed.text:
        return FailureClass.BAD_SEPARATOR
    if repeats_tags(grader, parsed):
        return FailureClass.REPEATED_TAGS
    if parsed.trailing_text.strip():
        return FailureClass.TRAILING_TEXT
    return None


def repeats_tags(grader: GraderName, parsed: ParsedResponse) -> bool:
    """Tags stand too often for this grader.

    To `strict` every repeat is one. The others read the last answer whatever comes before it, so
    only further answer tags can change what they see.
    """
    answers = len(parsed.answer_opens) > 1 or len(parsed.answer_closes) > 1
    if grader is not GraderName.STRICT:
        return answers
    return answers or len(parsed.think_closes) > 1 or bool(parsed.think_opens)


def _bad_answer(answer: str, evidence: Evidence) -> FailureClass:
    """What is wrong with the content of a complete answer."""
    if evidence.timed_out:
        # Told before the classes that describe the text: the time limit is why it counts as wrong.
        return FailureClass.GRADER_TIMEOUT
    if not answer.strip():
        return FailureClass.EMPTY_ANSWER
    if answer.strip() in evidence.answer_placeholders:
        return FailureClass.PLACEHOLDER_ANSWER
    if is_sentence(answer):
        return FailureClass.SENTENCE_ANSWER
    if evidence.truth is None:
        return FailureClass.WRONG_NUMBER
    numerals = find_numerals(answer)
    if len(numerals) > 1:
        return FailureClass.SEVERAL_NUMBERS
    if not numerals:
        return FailureClass.NOT_A_NUMBER
    same = numerals[0].value == evidence.truth
    return FailureClass.RIGHT_NUMBER_REFUSED if same else FailureClass.WRONG_NUMBER


def is_sentence(answer: str) -> bool:
    """The answer is prose: three words and more before its first number, or five in all.

    LaTeX commands are no words; `18 miles per hour` is a number with its unit.
    """
    plain = re.sub(r"\\[A-Za-z]+", " ", answer)
    if len(_WORD.findall(plain)) >= 5:
        return True
    before_number = re.split(r"[0-9]", plain, maxsplit=1)[0]
    return len(_WORD.findall(before_number)) >= 3
