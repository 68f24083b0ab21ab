"""Every stored response to one problem, across evaluations and runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from a5ctl.console import printable
from core.errors import UserError
from core.registry.answers import ProblemAnswer, answers_to, problem_ids
from core.registry.records import RunRecord, StoredGrade
from core.registry.store import Registry
from core.responses.names import GraderName

_NEAR = 5


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """One response with the verdict that counts here.

    Attributes:
        grade: Under `grader`.
    """

    answer: ProblemAnswer
    grader: str
    grade: StoredGrade


@dataclass(frozen=True, slots=True)
class Question:
    """One question with everything that was answered to it; an id can stand for several."""

    id: str
    question: str
    truth: str
    answers: tuple[JudgedAnswer, ...]

    @property
    def right(self) -> int:
        """Responses that are right."""
        return sum(answer.grade.right for answer in self.answers)

    @property
    def runs(self) -> list[str]:
        """Ids of the runs that were asked, oldest first."""
        return list(dict.fromkeys(answer.answer.run_id for answer in self.answers))

    @property
    def solved_by(self) -> list[str]:
        """Ids of the runs that were ever right, oldest first."""
        right = (answer.answer.run_id for answer in self.answers if answer.grade.right)
        return list(dict.fromkeys(right))

    @property
    def distinct(self) -> list[tuple[JudgedAnswer, int]]:
        """Different texts, newest first, each with how many responses have it."""
        counts: dict[str, int] = {}
        newest: dict[str, JudgedAnswer] = {}
        for answer in reversed(self.answers):
            text = answer.answer.response.text
            counts[text] = counts.get(text, 0) + 1
            newest.setdefault(text, answer)
        return [(answer, counts[text]) for text, answer in newest.items()]


def find_answers(
    registry: Registry, problem_id: str, run: RunRecord | None, grader: GraderName | None
) -> list[Question]:
    """Everything that was answered to the problems of this id.

    Args:
        registry: Where to look.
        problem_id: Exact id, or as the screen shows it.
        run: Only its responses; those of every run when None.
        grader: Decides what is right; each evaluation's own grader when None.

    Raises:
        UserError: nothing is stored; the message names ids that look alike.
    """
    uuid = None if run is None else run.uuid
    answers = answers_to(registry, problem_id, uuid)
    if not answers:
        shown = _shown_as(registry, problem_id)
        answers = [answer for meant in shown for answer in answers_to(registry, meant, uuid)]
    if not answers:
        raise UserError(_nothing(registry, problem_id, run))
    questions: dict[tuple[str, str, str], list[JudgedAnswer]] = {}
    for answer in answers:
        response = answer.response
        asked = (response.problem_id, response.question, response.truth)
        questions.setdefault(asked, []).append(_judge(answer, grader))
    return [Question(*asked, tuple(found)) for asked, found in questions.items()]


def _shown_as(registry: Registry, text: str) -> list[str]:
    """Ids that the screen shows as this text: commands are printed with escapes, and pasted so."""
    return [known for known in problem_ids(registry) if known != text and printable(known) == text]


def _judge(answer: ProblemAnswer, grader: GraderName | None) -> JudgedAnswer:
    used = str(grader or answer.grader)
    grade = answer.response.grades.get(used)
    if grade is None:
        raise UserError(
            f"the responses of run {answer.run_id} were never graded by {used}; "
            f"a5ctl regrade {answer.run_id} --grader {used} does it"
        )
    return JudgedAnswer(answer, used, grade)


def _nothing(registry: Registry, problem_id: str, run: RunRecord | None) -> str:
    where = f"registry {registry.label}" if run is None else f"run {run.id}"
    text = f"{where} holds no response to a problem {problem_id!r}"
    known = problem_ids(registry)
    if problem_id in known:
        return f"{text}; leave the run out to see what other runs answered"
    near = get_close_matches(problem_id, known, n=_NEAR, cutoff=0.5) or _some(known)
    return f"{text}; ids look like {', '.join(near)}" if near else f"{text}; it holds no response"


def _some(known: Sequence[str]) -> list[str]:
    return [known[0], known[-1]] if len(known) > 1 else list(known)
