"""Grade stored responses of a run again, under the graders of today; nothing is generated."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.batches import batched
from core.data.choices import options_of
from core.engines.base import FinishReason
from core.errors import UserError
from core.prompts.template import PromptTemplate
from core.registry.afterwards import check_addable
from core.registry.entries import GradeRow
from core.registry.evaluation_entries import grade_row, stored_grade
from core.registry.records import RunRecord, StoredGrade
from core.registry.regrade_writes import Observations, RegradedRow
from core.registry.regrades import (
    StoredEvaluation,
    StoredText,
    store_regrade,
    stored_evaluations,
    stored_texts,
)
from core.registry.store import Registry
from core.responses.grade import (
    DEFAULT_TIME_LIMIT_S,
    GRADER_VERSIONS,
    GradedText,
    GraderName,
    GradingItem,
    Placeholders,
    grade_responses,
)

_BATCH = 500


@dataclass(frozen=True, slots=True)
class GradeChange:
    """A response that a grader's new version judges in another way.

    Attributes:
        before: What its last version said.
        after: What the current one says.
    """

    response: StoredText
    grader: GraderName
    before: StoredGrade
    after: StoredGrade

    @property
    def flipped(self) -> bool:
        """Right became wrong or the other way round; else only form or class differ."""
        return self.before.right != self.after.right


@dataclass(frozen=True, slots=True)
class RegradedEvaluation:
    """What regrading did to one evaluation.

    Attributes:
        responses: Responses that lacked a current grade, and were graded.
        added: New grades by grader.
        changes: Responses that a grader judges in another way than before.
        figures: Accuracy by grader `before` and `after`, and more, as the event keeps it; empty
            when there was nothing to do.
    """

    evaluation: StoredEvaluation
    responses: int
    added: Mapping[GraderName, int] = field(default_factory=dict)
    changes: tuple[GradeChange, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


def regrade(
    registry: Registry, run: RunRecord, folder: Path | None, graders: Collection[GraderName]
) -> Iterator[RegradedEvaluation]:
    """Grade the responses of every evaluation that lack a grade of the current version.

    Each evaluation is written in one transaction before the next one begins, so that a stop
    leaves some evaluations regraded and the others as they were.

    Args:
        registry: Where the responses are, and the grades go.
        run: Whose evaluations.
        folder: Where the run's journal is, which takes the grades too; None where there is none.
        graders: Which grades to add. Under all of them, what is observed beside the verdicts
            (closed, unparseable, flags) is noted anew as well.

    Raises:
        UserError: the run has no stored response, a newer a5ctl has graded it, the grader is for
            other problems, or a process records the run.
    """
    check_addable(registry, run, folder)
    evaluations = stored_evaluations(registry, run.uuid)
    if not evaluations:
        raise UserError(f"run {run.id} has no evaluation whose responses could be graded again")
    limit = run.config.get("evaluation", {}).get("grader_time_limit", DEFAULT_TIME_LIMIT_S)
    for evaluation in evaluations:
        texts = stored_texts(registry, evaluation)
        _check(run, evaluation, texts, graders)
        lacking = [text for text in texts if _missing(text, graders)]
        if not lacking:
            yield RegradedEvaluation(evaluation, 0)
            continue
        graded = _grade(evaluation, lacking, limit)
        yield _store(registry, run, folder, evaluation, graders, graded)


def _check(
    run: RunRecord,
    evaluation: StoredEvaluation,
    texts: Sequence[StoredText],
    graders: Collection[GraderName],
) -> None:
    if not texts:
        raise UserError(
            f"the responses of run {run.id} at step {evaluation.step} are not in this registry; "
            "evaluate again with a5ctl run eval"
        )
    if list(graders) == [GraderName.MULTIPLE_CHOICE] and not any(map(_options, texts)):
        raise UserError(
            f"grader multiple_choice reads letters of options, and the problems of run {run.id} "
            "show none; choose another --grader"
        )
    for grader in graders:
        stored = max((t.grades[grader].version for t in texts if grader in t.grades), default=0)
        if stored > GRADER_VERSIONS[grader]:
            raise UserError(
                f"run {run.id} was graded by version {stored} of {grader}, and this a5ctl has "
                f"version {GRADER_VERSIONS[grader]}; upgrade a5ctl"
            )


def _missing(text: StoredText, graders: Collection[GraderName]) -> list[GraderName]:
    """Graders whose current version has not judged this response."""
    return [
        grader
        for grader in graders
        if grader not in text.grades or text.grades[grader].version < GRADER_VERSIONS[grader]
        if grader is not GraderName.MULTIPLE_CHOICE or _options(text)
    ]


def _options(text: StoredText) -> tuple[str, ...]:
    return options_of(text.question, text.truth)


def _grade(
    evaluation: StoredEvaluation, texts: Sequence[StoredText], limit: float
) -> Iterator[tuple[StoredText, GradedText]]:
    """In batches: what is parsed of a response takes far more memory than its text."""
    for batch in batched(texts, _BATCH):
        items = [
            GradingItem(
                t.text, t.truth, FinishReason(t.finish), _placeholders(evaluation, t), _options(t)
            )
            for t in batch
        ]
        yield from zip(batch, grade_responses(items, time_limit_s=limit), strict=True)


def _placeholders(evaluation: StoredEvaluation, text: StoredText) -> Placeholders:
    """Those of the template; responses that came from a file bring their prompt themselves."""
    template = str(evaluation.protocol.get("prompt_text") or text.question)
    return PromptTemplate("", template).placeholders


def _store(
    registry: Registry,
    run: RunRecord,
    folder: Path | None,
    evaluation: StoredEvaluation,
    graders: Collection[GraderName],
    graded: Iterator[tuple[StoredText, GradedText]],
) -> RegradedEvaluation:
    rows: list[RegradedRow] = []
    changes: list[GradeChange] = []
    everything = set(graders) == set(GraderName)
    for text, result in graded:
        new = [
            grade_row(grader, result.verdicts[grader], result.failures[grader])
            for grader in _missing(text, graders)
        ]
        for row in new:
            changes += _changes(text, GraderName(row.grader), row)
        flags = tuple(sorted(str(flag) for flag in result.flags))
        seen = Observations(result.closed, result.unparseable, flags) if everything else None
        rows.append(RegradedRow(problem=text.problem_id, sample=text.sample, grades=new, seen=seen))
    figures = store_regrade(registry, run, folder, evaluation, rows)
    names = [GraderName(grade.grader) for row in rows for grade in row.grades]
    added = {grader: names.count(grader) for grader in GraderName if grader in names}
    return RegradedEvaluation(evaluation, len(rows), added, tuple(changes), figures)


def _changes(text: StoredText, grader: GraderName, row: GradeRow) -> Iterator[GradeChange]:
    before = text.grades.get(grader)
    after = stored_grade(row)
    if before is None:
        return
    if (before.formatted, before.right, before.failure) != (row.formatted, row.right, row.failure):
        yield GradeChange(text, grader, before, after)
