"""Which training examples stay: all, those whose target grades right, those a run has solved."""

from collections.abc import Collection, Sequence

from core.data.choices import options_of
from core.data.problem import Problem
from core.engines.base import FinishReason
from core.errors import UserError
from core.prompts.template import PromptTemplate
from core.responses.grade import GraderName, GradingItem, grade_responses


def targets_graded_right(
    problems: Sequence[Problem], template: PromptTemplate, grader: GraderName
) -> list[bool]:
    """Grade every training target against its own truth; a missing target counts as wrong."""
    items = [
        GradingItem(
            template.target(problem) or "",
            problem.truth,
            FinishReason.EOS,
            template.placeholders,
            options_of(problem.question, problem.truth),
        )
        for problem in problems
    ]
    return [graded.verdicts[grader].right for graded in grade_responses(items)]


def keep_correct(
    problems: Sequence[Problem], template: PromptTemplate, grader: GraderName
) -> list[Problem]:
    """Examples whose own target grades right (filtered SFT).

    Raises:
        UserError: none is left.
    """
    right = targets_graded_right(problems, template, grader)
    kept = [problem for problem, ok in zip(problems, right, strict=True) if ok]
    if not kept:
        raise UserError(
            f"filter correct keeps none of the {len(problems)} examples: grader {grader} accepts "
            "no target; look at the data's format or choose another --grader"
        )
    return kept


def keep_solved(
    problems: Sequence[Problem], solved_questions: Collection[str], run: str
) -> list[Problem]:
    """Examples whose question stands among those a run has answered right.

    Raises:
        UserError: none is left.
    """
    kept = [problem for problem in problems if problem.question in solved_questions]
    if not kept:
        raise UserError(
            f"filter solved-by keeps none of the {len(problems)} examples: run {run} answered none "
            f"of these questions right; evaluate it on them first with "
            f"`a5ctl run eval --run {run} --split train`"
        )
    return kept
