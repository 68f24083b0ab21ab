"""Is a response right? Every grader's verdict on every response, in one pass.

`r1_zero` is the course's grader; `strict` refuses what that one is known to reward; `lenient` asks
only for the last number; `diagnostic` is lenient where the response never closes its answer;
`question_only` reads boxed answers. Each has its own format rule, equality and version.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from core.engines.base import FinishReason
from core.responses.equality import last_boxed, quick_equal
from core.responses.failures import Evidence, classify, response_flags
from core.responses.names import (
    GRADER_VERSIONS,
    FailureClass,
    FailureFlag,
    GraderName,
    ResponseType,
)
from core.responses.numerals import count_numerals, number_of
from core.responses.parse import ParsedResponse, parse_response
from core.responses.symbolic import Comparison, compare_symbolically

__all__ = [
    "GRADER_VERSIONS",
    "GradedText",
    "GraderName",
    "GradingItem",
    "Placeholders",
    "ResponseType",
    "Verdict",
    "grade_responses",
]

DEFAULT_TIME_LIMIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Texts that the prompt shows in place of reasoning and answer, stripped.

    Echoing one of them is neither reasoning nor an answer.
    """

    reasoning: frozenset[str] = frozenset()
    answer: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GradingItem:
    """One response to grade.

    Attributes:
        text: The response: what followed the prompt, stop string included.
        truth: The ground truth as text.
        finish: Why the response ended.
        placeholders: The prompt's own placeholder texts.
    """

    text: str
    truth: str
    finish: FinishReason = FinishReason.UNKNOWN
    placeholders: Placeholders = Placeholders()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one grader says.

    Attributes:
        formatted: The response keeps the grader's format rule.
        right: The grader rewards it; implies `formatted`.
        extracted: What was compared with the truth; None when nothing was found.
        timed_out: The comparison ran into its time limit and counts as wrong.
    """

    formatted: bool
    right: bool
    extracted: str | None
    timed_out: bool = False

    @property
    def type(self) -> ResponseType:
        """Formatted and right, formatted and wrong, or not formatted."""
        if not self.formatted:
            return ResponseType.TYPE3
        return ResponseType.TYPE1 if self.right else ResponseType.TYPE2


@dataclass(frozen=True, slots=True)
class GradedText:
    """Everything that grading finds out about one response.

    Attributes:
        parsed: Where tags and numbers stand.
        closed: A `</answer>` follows the last `<answer>`.
        unparseable: Closed, and the answer holds not exactly one numeral; None where the truth is
            not a number.
        verdicts: Every grader's verdict.
        failures: Every grader's failure class; None where it says right.
        flags: Observations that can hold together, on right responses too.
    """

    parsed: ParsedResponse
    closed: bool
    unparseable: bool | None
    verdicts: Mapping[GraderName, Verdict]
    failures: Mapping[GraderName, FailureClass | None]
    flags: frozenset[FailureFlag]


def grade_responses(
    items: Iterable[GradingItem], *, time_limit_s: float = DEFAULT_TIME_LIMIT_S
) -> list[GradedText]:
    """Grade responses under every grader.

    Args:
        items: Any texts; no content raises.
        time_limit_s: Seconds that one symbolic comparison may take before it counts as wrong.

    Raises:
        SymbolicWorkerError: a comparison needs sympy and its worker process cannot be started.
    """
    comparer = _Comparer(time_limit_s)
    return [_grade(item, comparer) for item in items]


def _grade(item: GradingItem, comparer: "_Comparer") -> GradedText:
    parsed = parse_response(item.text)
    truth = number_of(item.truth)
    r1_zero = _r1_zero(item, comparer)
    last_right, last_text = _last_number(parsed, item.finish, truth)
    lenient = _lenient(r1_zero, last_right, last_text)
    verdicts = {
        GraderName.R1_ZERO: r1_zero,
        GraderName.STRICT: _strict(parsed, r1_zero, truth, item.placeholders),
        GraderName.LENIENT: lenient,
        GraderName.DIAGNOSTIC: r1_zero if parsed.closed else lenient,
        GraderName.QUESTION_ONLY: _question_only(item, comparer),
    }
    evidence = _evidence(item, parsed, truth, r1_zero)
    return GradedText(
        parsed=parsed,
        closed=parsed.closed,
        unparseable=_unparseable(parsed) if truth is not None else None,
        verdicts=verdicts,
        failures={
            name: None
            if verdict.right
            else classify(
                name,
                evidence if verdict is r1_zero else _evidence(item, parsed, truth, verdict),
            )
            for name, verdict in verdicts.items()
        },
        flags=response_flags(
            evidence,
            right_by_last_number=last_right,
            right_by_r1_zero=r1_zero.right,
            reasoning_placeholders=item.placeholders.reasoning,
        ),
    )


def _r1_zero(item: GradingItem, comparer: "_Comparer") -> Verdict:
    text = item.text
    if "</think> <answer>" not in text or "</answer>" not in text:
        return Verdict(formatted=False, right=False, extracted=None)
    answer: str | None = text.rpartition("<answer>")[2].replace("</answer>", "")
    if answer is not None and "\\boxed" in answer:
        answer = last_boxed(answer)
    return _compared(answer, item.truth, comparer)


def _question_only(item: GradingItem, comparer: "_Comparer") -> Verdict:
    answer = last_boxed(item.text)
    if answer is None:
        return Verdict(formatted=False, right=False, extracted=None)
    return _compared(answer, item.truth, comparer)


def _compared(answer: str | None, truth: str, comparer: "_Comparer") -> Verdict:
    if answer is None:
        return Verdict(formatted=True, right=False, extracted=None)
    outcome = comparer.compare(answer, truth)
    return Verdict(
        formatted=True,
        right=outcome is Comparison.EQUAL,
        extracted=answer,
        timed_out=outcome is Comparison.TIMED_OUT,
    )


def _strict(
    parsed: ParsedResponse, r1_zero: Verdict, truth: Fraction | None, placeholders: Placeholders
) -> Verdict:
    formatted = r1_zero.formatted and _strictly_formatted(parsed, placeholders)
    answer = parsed.answer_text
    one_number = truth is None or (answer is not None and count_numerals(answer) == 1)
    return Verdict(
        formatted=formatted,
        right=formatted and r1_zero.right and one_number,
        extracted=r1_zero.extracted if formatted else None,
        timed_out=formatted and r1_zero.timed_out,
    )


def _strictly_formatted(parsed: ParsedResponse, placeholders: Placeholders) -> bool:
    once = len(parsed.think_closes) == len(parsed.answer_opens) == len(parsed.answer_closes) == 1
    if not once or parsed.think_opens or not parsed.closed or parsed.trailing_text.strip():
        return False
    reasoning = parsed.reasoning.strip()
    return bool(reasoning) and reasoning not in placeholders.reasoning


def _last_number(
    parsed: ParsedResponse, finish: FinishReason, truth: Fraction | None
) -> tuple[bool, str | None]:
    """Whether the last whole number is the truth, and how it was written."""
    numeral = parsed.last_whole_number(capped=finish is FinishReason.LENGTH)
    if numeral is None:
        return False, None
    equal = truth is not None and numeral.value == truth
    return equal, parsed.text[numeral.start : numeral.end]


def _lenient(r1_zero: Verdict, last_right: bool, last_text: str | None) -> Verdict:
    if r1_zero.right:
        return r1_zero
    return Verdict(
        formatted=r1_zero.formatted or last_text is not None,
        right=last_right,
        extracted=last_text if last_text is not None else r1_zero.extracted,
        timed_out=r1_zero.timed_out and not last_right,
    )


def _unparseable(parsed: ParsedResponse) -> bool:
    return parsed.closed and count_numerals(parsed.answer_text or "") != 1


def _evidence(
    item: GradingItem, parsed: ParsedResponse, truth: Fraction | None, verdict: Verdict
) -> Evidence:
    return Evidence(
        parsed=parsed,
        finish=item.finish,
        truth=truth,
        extracted=verdict.extracted,
        timed_out=verdict.timed_out,
        answer_placeholders=item.placeholders.answer,
    )


class _Comparer:
    """Answers each (answer, truth) pair of a batch once: by rules here, else in the worker."""

    def __init__(self, time_limit_s: float) -> None:
        self._time_limit_s = time_limit_s
        self._known: dict[tuple[str, str], Comparison] = {}

    def compare(self, answer: str, truth: str) -> Comparison:
        pair = (answer, truth)
        if pair not in self._known:
            self._known[pair] = self._decide(answer, truth)
        return self._known[pair]

    def _decide(self, answer: str, truth: str) -> Comparison:
        equal = quick_equal(answer, truth)
        if equal is None:
            return compare_symbolically(answer, truth, self._time_limit_s)
        return Comparison.EQUAL if equal else Comparison.DIFFERENT
