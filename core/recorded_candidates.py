"""Responses that runs have recorded, as candidates for preference pairs.

Only what was asked from the training split is taken unless more is allowed: a policy that learned
from the responses to the problems it is tested on has seen their answers.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from core.engines.base import FinishReason
from core.errors import UserError
from core.pairing import Candidate
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.registry.rollout_records import StoredRollout
from core.registry.store import Registry
from core.responses.names import GraderName

TRAIN_SPLIT = "train"


class ResponseSource(StrEnum):
    """Which recorded responses are looked at."""

    ALL = "all"
    ROLLOUTS = "rollouts"
    EVALUATIONS = "evaluations"


PromptsOf = Callable[[RunRecord, EvaluationRecord, Sequence[StoredResponse]], Mapping[str, str]]
"""The prompts behind an evaluation's responses, by problem id."""
RolloutPromptsOf = Callable[[RunRecord, Sequence[StoredRollout]], Mapping[str, str]]
"""The prompts behind a run's rollouts, by problem id."""


@dataclass(frozen=True, slots=True)
class CollectSettings:
    """Which responses are taken.

    Attributes:
        grader: Decides what is right.
        source: Evaluations, rollouts, or both.
        step: Only those of this step; all when None.
        allow_test: Evaluations on other splits than train are taken too.
    """

    grader: GraderName = GraderName.STRICT
    source: ResponseSource = ResponseSource.ALL
    step: int | None = None
    allow_test: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An evaluation that was not taken because of its split."""

    run: str
    step: int
    split: str
    responses: int


@dataclass(slots=True)
class Collected:
    """Responses that were found.

    Attributes:
        candidates: In the order of the runs, then as recorded.
        left_out: Evaluations whose split forbids their use.
        tested: Responses that were taken although their split is not for training.
        ungraded: Responses that the grader has not judged.
    """

    candidates: list[Candidate] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    tested: int = 0
    ungraded: int = 0


def collect_evaluations(
    registry: Registry,
    runs: Sequence[RunRecord],
    settings: CollectSettings,
    prompts: PromptsOf,
    into: Collected,
) -> None:
    """Add the responses of the runs' evaluations.

    Raises:
        UserError: the prompts of an evaluation cannot be had.
    """
    for run in runs:
        for evaluation in registry.evaluations([run.uuid]):
            if settings.step not in (None, evaluation.step):
                continue
            if evaluation.split != TRAIN_SPLIT and not settings.allow_test:
                left = LeftOut(run.id, evaluation.step, evaluation.split, evaluation.n)
                into.left_out.append(left)
                continue
            responses = registry.responses(evaluation.uuid)
            asked = prompts(run, evaluation, responses)
            into.tested += len(responses) if evaluation.split != TRAIN_SPLIT else 0
            for response in responses:
                prompt = asked[response.problem_id]
                _add(into, response, prompt, run, "evaluation", evaluation.step, settings.grader)


def collect_rollouts(
    registry: Registry,
    runs: Sequence[RunRecord],
    settings: CollectSettings,
    prompts: RolloutPromptsOf,
    into: Collected,
) -> None:
    """Add what the runs sampled from their training problems while they learned.

    Raises:
        UserError: the prompts cannot be had.
    """
    for run in runs:
        rollouts = registry.rollouts(run.uuid, settings.step)
        asked = prompts(run, rollouts) if rollouts else {}
        for rollout in rollouts:
            prompt = asked[rollout.response.problem_id]
            _add(into, rollout.response, prompt, run, "rollout", rollout.step, settings.grader)


def check_collected(found: Collected, settings: CollectSettings, runs: Sequence[RunRecord]) -> None:
    """Say what is missing where there is nothing to pair.

    Raises:
        UserError: there are no responses; the message says why, and how to get some.
    """
    if found.candidates:
        return
    names = ", ".join(run.id for run in runs)
    remedy = (
        f"sample the training problems first with: a5ctl run eval --run {runs[0].id} --split train "
        "--temperature 1 --set evaluation.n=8"
    )
    if found.ungraded:
        raise UserError(
            f"grader {settings.grader} has judged none of the {found.ungraded} responses of "
            f"{names}; choose another --grader, or a5ctl regrade them"
        )
    if found.left_out:
        splits = ", ".join(sorted({left.split for left in found.left_out}))
        raise UserError(
            f"{names} recorded responses only on the split {splits}, which is kept for measuring: "
            f"a policy that learns from it can no longer be tested on it; {remedy} (or take them "
            "all the same with --allow-test)"
        )
    at = "" if settings.step is None else f" of step {settings.step}"
    what = "responses" if settings.source is ResponseSource.ALL else settings.source.value
    raise UserError(f"{names} recorded no {what}{at} to make pairs of; {remedy}")


def _add(
    into: Collected,
    response: StoredResponse,
    prompt: str,
    run: RunRecord,
    source: str,
    step: int,
    grader: GraderName,
) -> None:
    grade = response.grades.get(grader)
    if grade is None:
        into.ungraded += 1
        return
    into.candidates.append(
        Candidate(
            problem_id=response.problem_id,
            question=response.question,
            truth=response.truth,
            prompt=prompt,
            text=response.text,
            right=grade.right,
            tokens=response.tokens,
            truncated=response.finish == FinishReason.LENGTH,
            run=run.id,
            source=source,
            step=step,
            sample=response.sample,
        )
    )
