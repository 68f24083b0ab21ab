"""Responses to read: some of every class of every run, with their tags told apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from a5ctl.console import printable
from a5ctl.format import count
from a5ctl.reports.content import Remark, Tone
from a5ctl.tables.responses import response_parts, spread
from core.registry.records import EvaluationRecord, RunRecord, StoredGrade, StoredResponse
from core.registry.store import Registry
from core.responses.names import DESCRIPTIONS, FailureClass, FailureFlag, telling_flags

RIGHT = "right"
_CHARS, _LINES = 3000, 60
_QUESTION_CHARS = 1500
_ANSWER_CHARS = 120
_Judged = tuple[StoredResponse, StoredGrade]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text.

    Attributes:
        kind: `think` or `answer` for a tag, `given` for what stands between the answer tags,
            `escape` for a character that is shown by its number, `cut` for what was left out.
    """

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One response with its verdict, and where it comes from.

    Attributes:
        outcome: A failure class, or `right`.
        meaning: The class in words.
        extracted: What the grader compared with the truth; None when it found nothing.
        flags: Observations beside the class.
        of: How many responses of the evaluation came out like this one.
    """

    run: str
    step: int
    problem: str
    sample: int
    outcome: str
    meaning: str
    grader: str
    truth: str
    extracted: str | None
    finish: str
    tokens: int
    flags: tuple[str, ...]
    question: str
    pieces: tuple[Piece, ...]
    of: int

    @property
    def right(self) -> bool:
        """The grader says so."""
        return self.outcome == RIGHT


def gather_examples(
    registry: Registry,
    runs: Sequence[RunRecord],
    evaluations: dict[str, EvaluationRecord],
    grader: str | None,
    of_each: int,
) -> tuple[tuple[Example, ...], tuple[Remark, ...]]:
    """So many responses of every class of every run's last evaluation, spread over the problems.

    Args:
        registry: Where they are.
        runs: The runs, in the order they are shown.
        evaluations: The last one by run uuid.
        grader: Decides what is right; each evaluation's own when None.
        of_each: Responses of each class.
    """
    examples: list[Example] = []
    remarks = []
    for run in runs:
        found = evaluations.get(run.uuid)
        if found is None:
            continue
        used = grader or found.grader
        responses = registry.responses(found.uuid)
        judged = [(r, r.grades[used]) for r in responses if used in r.grades]
        if not judged:
            why = "are not in this registry" if not responses else f"were not judged by {used}"
            remarks.append(Remark(f"The responses of {run.id} {why}.", Tone.UNSURE))
        by_outcome: dict[str | None, list[_Judged]] = {}
        for pair in judged:
            by_outcome.setdefault(pair[1].failure, []).append(pair)
        for own in sorted(by_outcome.values(), key=lambda own: (own[0][1].right, -len(own))):
            chosen = spread(own, of_each)
            examples += [_example(run, found, used, pair, len(own)) for pair in chosen]
    return tuple(examples), tuple(remarks)


def visible(text: str) -> Iterator[Piece]:
    """A text in which control and bidirectional characters stand as escapes of their own."""
    start = 0
    for place, char in enumerate(text):
        shown = char if char in "\n\t" else printable(char)
        if shown != char:
            if place > start:
                yield Piece(text[start:place])
            yield Piece(shown, "escape")
            start = place + 1
    if start < len(text):
        yield Piece(text[start:])


def response_pieces(text: str) -> tuple[Piece, ...]:
    """A response with its tags told apart; a long one loses its middle, and says how much."""
    return tuple(
        piece if piece.kind else Piece(piece.text, kind)
        for part, kind in response_parts(text, _CHARS, _LINES)
        for piece in visible(part)
    )


def clipped(text: str, most: int) -> str:
    """A text of at most so many characters, which says how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]} [... {count(len(text) - most)} more characters]"


def one_line(text: str, most: int) -> str:
    """A text that may be anything as a name: on one line, never blank."""
    return clipped(" ".join(text[: 10 * most].split()), most) or "(blank)"


def _example(
    run: RunRecord,
    evaluation: EvaluationRecord,
    grader: str,
    judged: _Judged,
    of: int,
) -> Example:
    response, grade = judged
    failure = None if grade.failure is None else FailureClass(grade.failure)
    flags = telling_flags(map(FailureFlag, response.flags), right=grade.right)
    return Example(
        run=run.id,
        step=evaluation.step,
        problem=one_line(response.problem_id, _ANSWER_CHARS),
        sample=response.sample,
        outcome=RIGHT if failure is None else str(failure),
        meaning="it is right" if failure is None else DESCRIPTIONS[failure],
        grader=grader,
        truth=one_line(response.truth, _ANSWER_CHARS),
        extracted=None if grade.extracted is None else one_line(grade.extracted, _ANSWER_CHARS),
        finish=response.finish,
        tokens=response.tokens,
        flags=tuple(sorted(flags)),
        question=clipped(response.question, _QUESTION_CHARS),
        pieces=response_pieces(response.text),
        of=of,
    )
