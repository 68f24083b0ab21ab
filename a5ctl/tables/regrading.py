"""What regrading a run changed, added up over its evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.registry.records import RunRecord
from core.regrading import GradeChange, RegradedEvaluation
from core.responses.names import GRADER_VERSIONS, GraderName


@dataclass(frozen=True, slots=True)
class GraderChange:
    """What became of one grader's verdicts.

    Attributes:
        versions: Versions that changed verdicts came from, and the current one.
        added: New grades.
        gained: Responses that were wrong and are right.
        lost: Responses that were right and are wrong.
        reclassified: Responses whose verdict stands, but not its form or failure class.
    """

    grader: GraderName
    versions: tuple[int, ...]
    added: int
    gained: int
    lost: int
    reclassified: int


@dataclass(frozen=True, slots=True)
class RegradingSummary:
    """One run, graded again.

    Attributes:
        graders: Which graders were asked for.
        evaluations: Every evaluation of the run, by step.
        changes: By grader, in the order of the graders.
    """

    run: RunRecord
    graders: tuple[GraderName, ...]
    evaluations: tuple[RegradedEvaluation, ...]
    changes: tuple[GraderChange, ...]

    @property
    def responses(self) -> int:
        """Responses that were graded."""
        return sum(evaluation.responses for evaluation in self.evaluations)

    @property
    def flips(self) -> list[GradeChange]:
        """Verdicts that turned round, by step."""
        return [
            change
            for evaluation in self.evaluations
            for change in evaluation.changes
            if change.flipped
        ]


def summarize_regrading(
    run: RunRecord, graders: Sequence[GraderName], evaluations: Sequence[RegradedEvaluation]
) -> RegradingSummary:
    """Add up what happened to each evaluation."""
    changes = [change for evaluation in evaluations for change in evaluation.changes]
    added = {g: sum(e.added.get(g, 0) for e in evaluations) for g in graders}
    rows = tuple(_row(grader, added[grader], changes) for grader in graders)
    return RegradingSummary(run, tuple(graders), tuple(evaluations), rows)


def _row(grader: GraderName, added: int, changes: Sequence[GradeChange]) -> GraderChange:
    mine = [change for change in changes if change.grader is grader]
    flipped = [change for change in mine if change.flipped]
    gained = sum(change.after.right for change in flipped)
    before = sorted({change.before.version for change in mine})
    return GraderChange(
        grader=grader,
        versions=(*before, GRADER_VERSIONS[grader]),
        added=added,
        gained=gained,
        lost=len(flipped) - gained,
        reclassified=len(mine) - len(flipped),
    )
