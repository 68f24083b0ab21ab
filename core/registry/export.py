"""Responses of a run as rows for other programs."""

from collections.abc import Iterator
from typing import Any

from core.errors import UserError
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.registry.rollout_records import RolloutBatchRecord
from core.registry.store import Registry
from core.responses.names import GraderName

_ROLLOUT_SPLIT = "train"
GRADE_FIELDS = ("version", "formatted", "right", "extracted", "failure")
"""What is said about a response by each grader."""

COLUMNS: dict[str, type] = {
    **dict.fromkeys(("run", "evaluation"), str),
    "step": int,
    "split": str,
    "problem_id": str,
    "sample": int,
    **dict.fromkeys(("question", "truth", "response", "finish"), str),
    **dict.fromkeys(("tokens", "think_tokens", "answer_position"), int),
    **dict.fromkeys(("closed", "unparseable"), bool),
    "flags": str,
    **{
        f"{grader}_{field}": {"version": int, "extracted": str, "failure": str}.get(field, bool)
        for grader in GraderName
        for field in GRADE_FIELDS
    },
}
"""Columns of the flat form with the type of their values; each value can be missing."""


def exported_evaluations(
    registry: Registry, run: RunRecord, step: int | None
) -> list[EvaluationRecord]:
    """The evaluations to export: all of the run, or those of one step.

    Raises:
        UserError: there is none; the message names the steps there are.
    """
    evaluations = registry.evaluations([run.uuid])
    found = [e for e in evaluations if step is None or e.step == step]
    if not evaluations:
        raise UserError(f"run {run.id} has no evaluation, so there are no responses to export")
    if not found:
        steps = ", ".join(str(s) for s in sorted({e.step for e in evaluations}))
        raise UserError(f"run {run.id} has no evaluation of step {step}; it has {steps}")
    return found


def exported_rows(
    registry: Registry, run: RunRecord, evaluations: list[EvaluationRecord]
) -> Iterator[dict[str, Any]]:
    """One nested row per response; only one evaluation is held in memory at a time.

    The names are those that `a5ctl grade` reads.
    """
    for evaluation in evaluations:
        for response in registry.responses(evaluation.uuid):
            yield _row(run, evaluation.uuid, evaluation.step, evaluation.split, response)


def exported_batches(
    registry: Registry, run: RunRecord, step: int | None
) -> list[RolloutBatchRecord]:
    """The rollout batches to export: all of the run, or the one that a step first learned from.

    Raises:
        UserError: there is none; the message names the steps there are.
    """
    batches = registry.rollout_batches(run.uuid)
    found = [batch for batch in batches if step is None or batch.step == step]
    if not batches:
        raise UserError(
            f"run {run.id} has no rollouts; runs of kind ei and grpo keep them unless rollout.keep "
            "is none"
        )
    if not found:
        steps = ", ".join(str(s) for s in sorted({batch.step for batch in batches}))
        raise UserError(f"run {run.id} has no rollouts of step {step}; it has {steps}")
    return found


def exported_rollouts(
    registry: Registry, run: RunRecord, batches: list[RolloutBatchRecord]
) -> Iterator[dict[str, Any]]:
    """The same rows of rollouts, which belong to no evaluation; one step in memory at a time."""
    for step in sorted({batch.step for batch in batches}):
        for rollout in registry.rollouts(run.uuid, step):
            yield _row(run, None, step, _ROLLOUT_SPLIT, rollout.response)


def flat_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the names of `COLUMNS`: grades side by side, flags with commas between."""
    flat = {**row, "flags": ",".join(row["flags"])}
    grades = flat.pop("grades")
    for grader in GraderName:
        grade = grades.get(grader, {})
        flat |= {f"{grader}_{field}": grade.get(field) for field in GRADE_FIELDS}
    return flat


def _row(
    run: RunRecord, evaluation: str | None, step: int, split: str, response: StoredResponse
) -> dict[str, Any]:
    return {
        "run": run.id,
        "evaluation": evaluation,
        "step": step,
        "split": split,
        "problem_id": response.problem_id,
        "sample": response.sample,
        "question": response.question,
        "truth": response.truth,
        "response": response.text,
        "finish": response.finish,
        "tokens": response.tokens,
        "think_tokens": response.think_tokens,
        "answer_position": response.answer_position,
        "closed": response.closed,
        "unparseable": response.unparseable,
        "flags": sorted(response.flags),
        "grades": {
            name: {field: getattr(grade, field) for field in GRADE_FIELDS}
            for name, grade in sorted(response.grades.items())
        },
    }
