"""The few facts of an evaluation that alarms look at, from a live result or from the registry."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from core.engines.base import FinishReason
from core.evaluation import EvaluationResult
from core.registry.records import EvaluationRecord, StoredResponse
from core.responses.names import GraderName
from core.responses.numerals import number_of

_SHOWN = 5
_SHOWN_CHARS = 160


@dataclass(frozen=True, slots=True)
class ResponseSign:
    """One response as alarms see it.

    Attributes:
        key: `problem/sample`.
        given: What the grader compared with the truth; None where it found nothing, or where the
            cap came first.
        truth: The right answer.
        formatted: It keeps the headline grader's format.
        lenient: It is right whatever its format.
        capped: The length cap ended it.
        text: What was generated.
    """

    key: str
    given: str | None
    truth: str
    formatted: bool
    lenient: bool
    capped: bool
    text: str


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """One evaluation as alarms see it; shares are of all responses.

    Attributes:
        step: Updates behind the weights.
        n: Responses.
        accuracy: Under the headline grader.
        lenient: Share right whatever the format.
        unformatted: Share that breaks the headline grader's format.
        capped: Share that the length cap ended.
        top_answer: The answer given most often; None without any.
        top_share: Share of the responses that give it.
        top_truth_share: Share of the problems whose truth it is.
        examples: Keys and endings of a few responses that show the fault, by fault:
            `unformatted`, `capped`, `top_answer`.
    """

    step: int
    n: int
    accuracy: float
    lenient: float
    unformatted: float
    capped: float
    top_answer: str | None
    top_share: float
    top_truth_share: float
    examples: dict[str, dict[str, str]]


def facts_of_result(result: EvaluationResult) -> EvaluationFacts:
    """The facts of an evaluation that just ended."""
    grader = GraderName(result.protocol.grading.grader)
    reads = _reads(grader)
    truths = {problem.id: problem.truth for problem in result.problems}
    signs = [
        ResponseSign(
            key=f"{row.problem_id}/{row.sample}",
            given=None if _cut(row.finish) else row.verdicts[reads].extracted,
            truth=truths[row.problem_id],
            formatted=row.verdicts[grader].formatted,
            lenient=row.verdicts[reads].right,
            capped=_cut(row.finish),
            text=row.text,
        )
        for row in result.responses
    ]
    return _facts(result.step, result.summary.accuracy, signs)


def facts_of_record(
    record: EvaluationRecord, responses: Iterable[StoredResponse]
) -> EvaluationFacts:
    """The facts of a stored evaluation; the same as when it was made."""
    grader = GraderName(record.grader)
    reads = _reads(grader)
    signs = [
        ResponseSign(
            key=f"{row.problem_id}/{row.sample}",
            given=None if _cut(row.finish) else row.grades[reads].extracted,
            truth=row.truth,
            formatted=row.grades[grader].formatted,
            lenient=row.grades[reads].right,
            capped=_cut(row.finish),
            text=row.text,
        )
        for row in responses
    ]
    return _facts(record.step, record.accuracy, signs)


def _reads(grader: GraderName) -> GraderName:
    # lenient finds an answer in unformatted texts too; a letter is no last number
    return grader if grader is GraderName.MULTIPLE_CHOICE else GraderName.LENIENT


def _cut(finish: str) -> bool:
    return finish == FinishReason.LENGTH


def _facts(step: int, accuracy: float, signs: Sequence[ResponseSign]) -> EvaluationFacts:
    n = max(1, len(signs))
    given = Counter(_answer(sign.given) for sign in signs if sign.given)
    top, count = given.most_common(1)[0] if given else (None, 0)
    unformatted = [sign for sign in signs if not sign.formatted]
    capped = [sign for sign in signs if sign.capped]
    same = [sign for sign in signs if sign.given and _answer(sign.given) == top]
    return EvaluationFacts(
        step=step,
        n=len(signs),
        accuracy=accuracy,
        lenient=sum(sign.lenient for sign in signs) / n,
        unformatted=len(unformatted) / n,
        capped=len(capped) / n,
        top_answer=same[0].given if same else None,
        top_share=count / n,
        top_truth_share=sum(_answer(sign.truth) == top for sign in signs) / n,
        examples={
            "unformatted": _shown(unformatted),
            "capped": _shown(capped),
            "top_answer": _shown(same),
        },
    )


def _answer(text: str) -> Fraction | str:
    """Numbers by their value, so that 7 and 7.0 are one answer."""
    number = number_of(text)
    return text.strip() if number is None else number


def _shown(signs: Sequence[ResponseSign]) -> dict[str, str]:
    return {sign.key: sign.text[-_SHOWN_CHARS:] for sign in signs[:_SHOWN]}
