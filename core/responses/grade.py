"""Is a response right? Every grader's verdict on every response, in one pass.

`r1_zero` is the course's grader; `strict` refuses what that one is known to reward; `lenient` asks
only for the last number, or for the last expression where the truth is not a plain number;
`diagnostic` is lenient where the response never closes its answer; `question_only` reads boxed
answers; `multiple_choice` reads the letter of an option, and judges only problems that show
options. Each has its own format rule, equality and version; docs/grading.md has the rules.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from core.engines.base import FinishReason
from core.responses.choice import choice_failure, chosen_letter
from core.responses.comparer import Comparer
from core.responses.equality import last_boxed, marked_answer, unpacked_truth
from core.responses.expressions import final_expression
from core.responses.failures import Evidence, classify, response_flags
from core.responses.names import (
    GRADER_VERSIONS,
    FailureClass,
    FailureFlag,
    GraderName,
    ResponseType,
    telling_flags,
)
from core.responses.numerals import holds_one_numeral, number_of
from core.responses.parse import ParsedResponse, parse_response
from core.responses.symbolic import Comparison
from core.responses.wording import Placeholders

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
class GradingItem:
    """One response to grade.

    Attributes:
        text: The response: what followed the prompt, stop string included.
        truth: The ground truth as text.
        finish: Why the response ended.
        placeholders: The prompt's own placeholder texts.
        options: Texts of the options from A on, where the truth is the letter of one of them.
    """

    text: str
    truth: str
    finish: FinishReason = FinishReason.UNKNOWN
    placeholders: Placeholders = field(default_factory=Placeholders)
    options: tuple[str, ...] = ()


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
        verdicts: The verdict of every grader that can judge the problem.
        failures: Their failure classes; None where one says right.
        flags: Observations that can hold together, on right responses too.
    """

    parsed: ParsedResponse
    closed: bool
    unparseable: bool | None
    verdicts: Mapping[GraderName, Verdict]
    failures: Mapping[GraderName, FailureClass | None]
    flags: frozenset[FailureFlag]

    def flags_under(self, grader: GraderName) -> frozenset[FailureFlag]:
        """The flags that say something beside this grader's verdict."""
        return telling_flags(self.flags, right=self.verdicts[grader].right)


def grade_responses(
    items: Iterable[GradingItem], *, time_limit_s: float = DEFAULT_TIME_LIMIT_S
) -> list[GradedText]:
    """Grade responses under every grader.

    Args:
        items: Any texts; no content raises.
        time_limit_s: Seconds that the comparisons of one response may take in the worker process;
            what is undecided then counts as wrong.

    Raises:
        SymbolicWorkerError: a comparison needs the worker process and it cannot be started.
    """
    comparer = Comparer(time_limit_s)
    return [_grade(item, comparer) for item in items]


def _grade(item: GradingItem, comparer: Comparer) -> GradedText:
    comparer.begin_response()
    parsed = parse_response(item.text)
    stated = unpacked_truth(item.truth)
    truth = number_of(stated) if stated is not None else None
    r1_zero = _r1_zero(item, comparer)
    question_only = _question_only(item, comparer)
    if truth is not None:
        ending = _last_number(parsed, item.finish, truth)
    else:
        ending = _last_expression(parsed, item.finish, stated, r1_zero, comparer)
    lenient = _lenient(r1_zero, ending)
    verdicts = {
        GraderName.R1_ZERO: r1_zero,
        GraderName.STRICT: _strict(parsed, r1_zero, truth, item.placeholders),
        GraderName.LENIENT: lenient,
        GraderName.DIAGNOSTIC: r1_zero if parsed.closed else lenient,
        GraderName.QUESTION_ONLY: question_only,
    }
    evidence = _evidence(item, parsed, truth, r1_zero, ending.right)
    failures = _failures(verdicts, evidence)
    if not question_only.right:
        same = truth is None and _same_value(question_only, stated, comparer)
        seen = _seen_by(question_only, evidence, same_value=same)
        failures[GraderName.QUESTION_ONLY] = classify(GraderName.QUESTION_ONLY, seen)
    if item.options:
        chosen = _multiple_choice(item, parsed)
        verdicts[GraderName.MULTIPLE_CHOICE] = chosen
        failures[GraderName.MULTIPLE_CHOICE] = (
            None if chosen.right else choice_failure(parsed, item.finish, chosen.extracted)
        )
    return GradedText(
        parsed=parsed,
        closed=parsed.closed,
        unparseable=_unparseable(parsed) if truth is not None else None,
        verdicts=verdicts,
        failures=failures,
        flags=response_flags(
            evidence, right_by_last_number=ending.right, right_by_r1_zero=r1_zero.right
        ),
    )


def _failures(
    verdicts: Mapping[GraderName, Verdict], evidence: Evidence
) -> dict[GraderName, FailureClass | None]:
    """The classes under the graders that read the whole response."""
    return {
        name: None
        if verdict.right
        else classify(name, _seen_by(verdict, evidence, same_value=evidence.same_value))
        for name, verdict in verdicts.items()
        if name is not GraderName.QUESTION_ONLY or verdict.right
    }


def _seen_by(verdict: Verdict, evidence: Evidence, *, same_value: bool) -> Evidence:
    return replace(
        evidence,
        extracted=verdict.extracted,
        timed_out=verdict.timed_out,
        same_value=same_value,
    )


def _r1_zero(item: GradingItem, comparer: Comparer) -> Verdict:
    text = item.text
    if "</think> <answer>" not in text or "</answer>" not in text:
        return Verdict(formatted=False, right=False, extracted=None)
    answer: str | None = text.rpartition("<answer>")[2].replace("</answer>", "")
    if answer is not None and "\\boxed" in answer:
        answer = last_boxed(answer)
    return _compared(answer, item.truth, comparer)


def _question_only(item: GradingItem, comparer: Comparer) -> Verdict:
    answer = marked_answer(item.text)
    if answer is None:
        return Verdict(formatted=False, right=False, extracted=None)
    return _compared(answer, item.truth, comparer)


def _multiple_choice(item: GradingItem, parsed: ParsedResponse) -> Verdict:
    letter = chosen_letter(parsed, item.options)
    return Verdict(formatted=letter is not None, right=letter == item.truth, extracted=letter)


def _compared(answer: str | None, truth: str, comparer: Comparer) -> Verdict:
    if answer is None:
        return Verdict(formatted=True, right=False, extracted=None)
    outcome = comparer.course(answer, truth)
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
    one_number = truth is None or (answer is not None and holds_one_numeral(answer))
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
    return bool(reasoning) and not placeholders.is_reasoning(reasoning)


@dataclass(frozen=True, slots=True)
class _Ending:
    """What a response ends with, whatever its format: is it the truth, and how is it written?"""

    right: bool
    text: str | None
    timed_out: bool = False


def _last_number(parsed: ParsedResponse, finish: FinishReason, truth: Fraction) -> _Ending:
    numeral = parsed.last_whole_number(capped=finish is FinishReason.LENGTH)
    if numeral is None:
        return _Ending(right=False, text=None)
    return _Ending(numeral.value == truth, parsed.text[numeral.start : numeral.end])


def _last_expression(
    parsed: ParsedResponse,
    finish: FinishReason,
    truth: str | None,
    r1_zero: Verdict,
    comparer: Comparer,
) -> _Ending:
    text = final_expression(parsed, capped=finish is FinishReason.LENGTH)
    if r1_zero.right or r1_zero.timed_out:
        return _Ending(r1_zero.right, text, r1_zero.timed_out)
    if text is None or truth is None:
        return _Ending(right=False, text=text)
    outcome = comparer.value(text, truth)
    return _Ending(outcome is Comparison.EQUAL, text, outcome is Comparison.TIMED_OUT)


def _lenient(r1_zero: Verdict, ending: _Ending) -> Verdict:
    if r1_zero.right:
        return r1_zero
    return Verdict(
        formatted=r1_zero.formatted or ending.text is not None,
        right=ending.right,
        extracted=ending.text if ending.text is not None else r1_zero.extracted,
        timed_out=(r1_zero.timed_out or ending.timed_out) and not ending.right,
    )


def _same_value(verdict: Verdict, truth: str | None, comparer: Comparer) -> bool:
    if verdict.extracted is None or truth is None or verdict.timed_out:
        return False
    return comparer.value(verdict.extracted, truth) is Comparison.EQUAL


def _unparseable(parsed: ParsedResponse) -> bool:
    return parsed.closed and not holds_one_numeral(parsed.answer_text or "")


def _evidence(
    item: GradingItem,
    parsed: ParsedResponse,
    truth: Fraction | None,
    verdict: Verdict,
    same_value: bool,
) -> Evidence:
    return Evidence(
        parsed=parsed,
        finish=item.finish,
        truth=truth,
        extracted=verdict.extracted,
        timed_out=verdict.timed_out,
        placeholders=item.placeholders,
        same_value=same_value,
    )
