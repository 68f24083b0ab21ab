"""Why a response is wrong: one primary class under each grader, and flags beside it."""

import re
from dataclasses import dataclass
from fractions import Fraction

from core.engines.base import FinishReason
from core.responses.equality import ANSWER_MARK
from core.responses.loops import is_loop
from core.responses.names import FailureClass, FailureFlag, GraderName
from core.responses.numerals import find_numerals
from core.responses.parse import ParsedResponse
from core.responses.wording import Placeholders, is_empty, is_sentence

_BOX = re.compile(r"\\boxed\{")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a failure is classified from.

    Attributes:
        parsed: The response.
        finish: Why it ended.
        truth: Value of the truth when it is a number, else None.
        extracted: What the grader compared with the truth; None when it found nothing.
        timed_out: The comparison ran into its time limit.
        placeholders: Texts that the prompt shows in place of reasoning and answer.
        same_value: The truth is no plain number, and what the grader compared equals it.
    """

    parsed: ParsedResponse
    finish: FinishReason
    truth: Fraction | None
    extracted: str | None
    timed_out: bool
    placeholders: Placeholders
    same_value: bool


def classify(grader: GraderName, evidence: Evidence) -> FailureClass:
    """The primary class of a response that `grader` calls wrong: the first cause that applies."""
    if grader is GraderName.QUESTION_ONLY:
        unfinished = _unfinished_box(evidence) or _text_after_mark(evidence)
        answer = evidence.extracted or ""
    else:
        unfinished = _unfinished_answer(evidence) or _broken_format(evidence.parsed)
        answer = evidence.parsed.answer_text or ""
    return unfinished or _bad_answer(answer, evidence)


def response_flags(
    evidence: Evidence,
    *,
    right_by_last_number: bool,
    right_by_r1_zero: bool,
) -> frozenset[FailureFlag]:
    """Everything that was observed about a response, right or wrong."""
    parsed = evidence.parsed
    answer = parsed.answer_text
    copied = evidence.placeholders.make_up(parsed.reasoning) or (
        answer is not None and evidence.placeholders.is_answer(answer)
    )
    observed = {
        FailureFlag.DEGENERATE_REPETITION: is_degenerate(parsed),
        FailureFlag.RIGHT_BY_LAST_NUMBER: right_by_last_number,
        FailureFlag.RIGHT_BY_R1_ZERO: right_by_r1_zero,
        FailureFlag.TEMPLATE_COPY: copied,
    }
    return frozenset(flag for flag, holds in observed.items() if holds)


def is_degenerate(parsed: ParsedResponse) -> bool:
    """The response, its reasoning or its answer ends in a loop or is mostly one."""
    return any(is_loop(part) for part in (parsed.text, parsed.reasoning, parsed.answer_text or ""))


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


def _text_after_mark(evidence: Evidence) -> FailureClass | None:
    """The answer behind a `####` is one line; what follows it does not belong there."""
    answer = evidence.extracted or ""
    marked = "\\boxed" not in evidence.parsed.text and ANSWER_MARK in evidence.parsed.text
    return FailureClass.TRAILING_TEXT if marked and "\n" in answer else None


def _broken_format(parsed: ParsedResponse) -> FailureClass | None:
    """The first thing wrong with the tags of a closed response."""
    if parsed.think_end is None or parsed.think_end > (parsed.answer_start or 0):
        return FailureClass.MISSING_THINK_CLOSE
    if "</think> <answer>" not in parsed.text:
        return FailureClass.BAD_SEPARATOR
    if repeats_tags(parsed):
        return FailureClass.REPEATED_TAGS
    if parsed.trailing_text.strip():
        return FailureClass.TRAILING_TEXT
    return None


def repeats_tags(parsed: ParsedResponse) -> bool:
    """A tag that may stand once stands again; `<think>`, which the prompt opened, stands at all."""
    once = (parsed.think_closes, parsed.answer_opens, parsed.answer_closes)
    return bool(parsed.think_opens) or any(len(spans) > 1 for spans in once)


def _bad_answer(answer: str, evidence: Evidence) -> FailureClass:
    """What is wrong with the content of a complete answer."""
    if evidence.timed_out:
        # Told before the classes that describe the text: the time limit is why it counts as wrong.
        return FailureClass.GRADER_TIMEOUT
    if is_empty(answer):
        return FailureClass.EMPTY_ANSWER
    if evidence.placeholders.is_answer(answer):
        return FailureClass.PLACEHOLDER_ANSWER
    if is_sentence(answer):
        return FailureClass.SENTENCE_ANSWER
    if evidence.truth is None:
        refused = evidence.same_value
        return FailureClass.RIGHT_NUMBER_REFUSED if refused else FailureClass.WRONG_NUMBER
    numerals = find_numerals(answer, at_most=2)
    if len(numerals) > 1:
        return FailureClass.SEVERAL_NUMBERS
    if not numerals:
        return FailureClass.NOT_A_NUMBER
    same = numerals[0].value == evidence.truth
    return FailureClass.RIGHT_NUMBER_REFUSED if same else FailureClass.WRONG_NUMBER
