"""Two evaluations on the same problems: what was fixed, what broke, and what to put it down to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a5ctl.tables.diagnosis import Case, Diagnosis
from core.errors import UserError
from core.protocol import ProtocolDifference, compare_protocols
from core.responses.attribution import Attribution, Cause, Outcome, attribute, cause_of
from core.responses.names import FailureClass
from core.statistics import PairedComparison, compare_paired, minimum_detectable_difference


@dataclass(frozen=True, slots=True)
class Flip:
    """A problem that one side gets right and the other wrong.

    Attributes:
        before: The response of the run that is compared against.
        after: The response of the run that is diagnosed.
        cause: Read off the wrong side.
    """

    before: Case
    after: Case
    cause: Cause

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
        left_out: Responses of either side without a partner.
        fixed: Wrong before, right after.
        broken: Right before, wrong after.
        attribution: The difference by cause; descriptive.
        test: The paired test; None where it is refused.
        refused: Why there is no test.
        detectable: Difference of accuracies that this test finds with 80% power.
    """

    before: Diagnosis
    after: Diagnosis
    protocols: ProtocolDifference
    left_out: int
    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    attribution: Attribution
    test: PairedComparison | None
    refused: str
    detectable: float | None

    @property
    def n(self) -> int:
        """Pairs of responses."""
        return self.attribution.n


def find_flips(before: Diagnosis, after: Diagnosis, *, same_grader: bool, force: bool) -> Flips:
    """Pair two evaluations up.

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
    old, new = _keyed(before.cases), _keyed(after.cases)
    shared = [key for key in new if key in old]
    if not shared:
        raise UserError(f"no problem was asked in both {before.run.id} and {after.run.id}")
    changed = [_flip(old[key], new[key]) for key in shared if _right(old, key) != _right(new, key)]
    protocols = _protocols(before, after, same_grader)
    refused = "" if force else _refusal(protocols, before, after)
    test = None
    if not refused:
        test = compare_paired(
            {_name(key): _right(old, key) for key in shared},
            {_name(key): _right(new, key) for key in shared},
        )
    return Flips(
        before=before,
        after=after,
        protocols=protocols,
        left_out=len(old) + len(new) - 2 * len(shared),
        fixed=tuple(flip for flip in changed if flip.after.grade.right),
        broken=tuple(flip for flip in changed if flip.before.grade.right),
        attribution=attribute(
            {_name(key): _outcome(old[key]) for key in shared},
            {_name(key): _outcome(new[key]) for key in shared},
        ),
        test=test,
        refused=refused,
        detectable=minimum_detectable_difference(len(changed), len(shared)) if test else None,
    )


_Key = tuple[str, int, str, str]


def _keyed(cases: Sequence[Case]) -> dict[_Key, Case]:
    # Ids are unique within one data set only: the same id may stand for another question.
    return {
        (r.problem_id, r.sample, r.question, r.truth): case
        for case in cases
        for r in (case.response,)
    }


def _name(key: _Key) -> str:
    return f"{key[0]}#{key[1]}"


def _right(cases: Mapping[_Key, Case], key: _Key) -> bool:
    return cases[key].grade.right


def _flip(before: Case, after: Case) -> Flip:
    wrong = before if after.grade.right else after
    return Flip(before, after, cause_of(_outcome(wrong)))


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


def _refusal(protocols: ProtocolDifference, before: Diagnosis, after: Diagnosis) -> str:
    if protocols.blocking:
        fields = ", ".join(protocols.blocking)
        return f"the protocols differ in {fields}; --force tests anyway"
    if any(case.response.sample for side in (before, after) for case in side.cases):
        return "several samples of one problem are not independent; --force pairs them anyway"
    return ""
