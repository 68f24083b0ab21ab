"""Two evaluations on the same problems: what was fixed, what broke, and what to put it down to."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from a5ctl.tables.diagnosis import Case, Diagnosis
from core.errors import UserError
from core.protocol import ProtocolDifference, compare_protocols
from core.responses.attribution import Attribution, Cause, Outcome, attribute, cause_of
from core.responses.names import FailureClass
from core.statistics import PairedComparison, compare_paired_shares, minimum_detectable_difference


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem that one side gets right more often than the other.

    Attributes:
        before: A response of the run that is compared against; a wrong one if the problem was
            fixed, a right one if it broke.
        after: A response of the run that is diagnosed, the other way round.
        cause: Read off the wrong one of the two.
        right_before: Right samples and all samples before.
        right_after: The same after.
    """

    before: Case
    after: Case
    cause: Cause
    right_before: tuple[int, int]
    right_after: tuple[int, int]

    @property
    def failure(self) -> FailureClass | None:
        """Why the wrong side is wrong."""
        return self.before.failure or self.after.failure


@dataclass(frozen=True, slots=True)
class Flips:
    """One evaluation against another, on the problems that both answered.

    Attributes:
        before: The evaluation that is compared against.
        after: The evaluation that is diagnosed.
        protocols: Fields in which the two protocols differ.
        left_out: Responses to problems that only one side answered.
        sampled: Some problem has several samples.
        fixed: Right more often after than before; the largest changes first.
        broken: Right less often.
        attribution: The difference by cause; descriptive.
        test: The paired test over problems; None where it is refused.
        refused: Why there is no test.
        detectable: Difference of accuracies that this test finds with 80% power.
    """

    before: Diagnosis
    after: Diagnosis
    protocols: ProtocolDifference
    left_out: int
    sampled: bool
    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    attribution: Attribution
    test: PairedComparison | None
    refused: str
    detectable: float | None

    @property
    def n(self) -> int:
        """Problems that both sides answered."""
        return self.attribution.n


def find_flips(before: Diagnosis, after: Diagnosis, *, same_grader: bool, force: bool) -> Flips:
    """Pair two evaluations up, problem by problem.

    Samples of one problem are not independent, and have no partner on the other side: a problem
    counts once, by the share of its samples that are right.

    Args:
        before: What is compared against; diagnosed under the same grader as `after`.
        after: What is diagnosed.
        same_grader: The grader was chosen for both, so that their headline graders do not matter.
        force: Test even where the protocols differ.

    Raises:
        UserError: it is the same evaluation twice, or no problem was asked in both.
    """
    if before.evaluation.uuid == after.evaluation.uuid:
        raise UserError(
            f"step {after.evaluation.step} of {after.run.id} cannot be compared with itself; "
            f"name another run, or another step: --against {after.run.id}:STEP"
        )
    old, new = _by_problem(before.cases), _by_problem(after.cases)
    shared = [key for key in new if key in old]
    if not shared:
        raise UserError(f"no problem was asked in both {before.run.id} and {after.run.id}")
    gaps = {key: _share(new[key]) - _share(old[key]) for key in shared}
    changed = sorted((key for key in shared if gaps[key]), key=lambda key: -abs(gaps[key]))
    protocols = _protocols(before, after, same_grader)
    refused = "" if force else _refusal(protocols)
    test = None
    if not refused:
        test = compare_paired_shares(
            {_name(key): float(_share(old[key])) for key in shared},
            {_name(key): float(_share(new[key])) for key in shared},
        )
    squares = float(sum(gap * gap for gap in gaps.values()))
    paired = sum(len(old[key]) + len(new[key]) for key in shared)
    return Flips(
        before=before,
        after=after,
        protocols=protocols,
        left_out=len(before.cases) + len(after.cases) - paired,
        sampled=paired > 2 * len(shared),
        fixed=tuple(_flip(old[key], new[key], fixed=True) for key in changed if gaps[key] > 0),
        broken=tuple(_flip(old[key], new[key], fixed=False) for key in changed if gaps[key] < 0),
        attribution=attribute(
            {_name(key): [_outcome(case) for case in old[key]] for key in shared},
            {_name(key): [_outcome(case) for case in new[key]] for key in shared},
        ),
        test=test,
        refused=refused,
        detectable=minimum_detectable_difference(squares, len(shared)) if test else None,
    )


_Key = tuple[str, str, str]


def _by_problem(cases: Sequence[Case]) -> dict[_Key, list[Case]]:
    """Samples of each problem, in order."""
    # Ids are unique within one data set only: the same id may stand for another question.
    found: dict[_Key, list[Case]] = {}
    for case in cases:
        response = case.response
        key = (response.problem_id, response.question, response.truth)
        found.setdefault(key, []).append(case)
    return found


def _name(key: _Key) -> str:
    return "\0".join(key)


def _share(cases: Sequence[Case]) -> Fraction:
    return Fraction(sum(case.grade.right for case in cases), len(cases))


def _flip(before: Sequence[Case], after: Sequence[Case], *, fixed: bool) -> Flip:
    """The first wrong sample of the side that did worse, beside the first right one of the other.

    The side that did worse has a wrong sample and the other a right one, since their shares differ.
    """
    old = next(case for case in before if case.grade.right is not fixed)
    new = next(case for case in after if case.grade.right is fixed)
    cause = cause_of(_outcome(old if fixed else new))
    return Flip(old, new, cause, _counts(before), _counts(after))


def _counts(cases: Sequence[Case]) -> tuple[int, int]:
    return sum(case.grade.right for case in cases), len(cases)


def _outcome(case: Case) -> Outcome:
    return Outcome(case.grade.right, case.lenient_right, case.capped)


def _protocols(before: Diagnosis, after: Diagnosis, same_grader: bool) -> ProtocolDifference:
    found = compare_protocols(before.evaluation.protocol, after.evaluation.protocol)
    if not same_grader:
        return found
    blocking = [name for name in found.blocking if name not in ("grader", "grader_version")]
    versions = {case.grade.version for side in (before, after) for case in side.cases}
    if len(versions) > 1:
        blocking.append("grader_version")
    return ProtocolDifference(tuple(blocking), found.warning)


def _refusal(protocols: ProtocolDifference) -> str:
    if not protocols.blocking:
        return ""
    mend = "a5ctl regrade RUN judges both alike, " if "grader_version" in protocols.blocking else ""
    return f"the protocols differ in {', '.join(protocols.blocking)}; {mend}--force tests anyway"
