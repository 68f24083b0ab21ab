"""Rollouts made by hand: graded by the real graders, with made-up tokens and log-probabilities."""

import math
from collections.abc import Sequence

from core.data.problem import Problem
from core.engines.base import FinishReason
from core.evaluation import GradedResponse
from core.responses.grade import GraderName, GradingItem, grade_responses
from core.rollouts import Rollout, RolloutBatch


def right(value: object) -> str:
    """A well-formatted response."""
    return f" so it is {value} </think> <answer> {value} </answer>"


def rollout(
    text: str,
    problem: Problem,
    *,
    sample: int = 0,
    tokens: int = 7,
    finish: FinishReason = FinishReason.STOP_STRING,
    grader: GraderName = GraderName.STRICT,
    start: int = 100,
) -> Rollout:
    """One rollout of `tokens` tokens, the first of which is `start`."""
    found = grade_responses([GradingItem(text, problem.truth, finish)])[0]
    response = GradedResponse(
        problem_id=problem.id,
        sample=sample,
        text=text,
        token_ids=tuple(range(start, start + tokens)),
        finish=finish,
        think_tokens=4,
        answer_position=None if "<answer>" not in text else 5,
        closed=found.closed,
        unparseable=found.unparseable,
        flags=found.flags,
        verdicts=found.verdicts,
        failures=found.failures,
    )
    logprobs = tuple(-math.log(2 + index + sample) for index in range(tokens))
    return Rollout(response, tuple(range(11)), logprobs, grader)


def batch(
    groups: Sequence[Sequence[str]], *, number: int = 0, first_step: int = 1, truth: str = "42"
) -> RolloutBatch:
    """A batch with one group of texts for each problem; all groups of one size."""
    problems = tuple(Problem(f"q-{i}", f"Question {i}?", truth) for i in range(len(groups)))
    rollouts = tuple(
        rollout(text, problem, sample=sample, tokens=7 + sample, start=100 + 50 * place)
        for place, (problem, texts) in enumerate(zip(problems, groups, strict=True))
        for sample, text in enumerate(texts)
    )
    return RolloutBatch(
        number=number,
        first_step=first_step,
        problems=problems,
        per_question=len(groups[0]),
        rollouts=rollouts,
        generate_seconds=1.5,
        grade_seconds=0.1,
        sync_seconds=1 / 3,
    )
