"""What probes found, counted under one grader."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core.engines.base import FinishReason
from core.probing.names import ProbeKind
from core.registry.probe_records import ProbedResponse, ProbeRecord
from core.registry.records import StoredResponse
from core.responses.names import GraderName

Place = tuple[str, int]
"""Problem id and number of the sample: which response of an evaluation is meant."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Some probed responses.

    Attributes:
        ended: Those that now come to an end; for closing, those whose answer is closed now.
        right: Those that are right now.
    """

    n: int
    ended: int
    right: int


@dataclass(frozen=True, slots=True)
class ProbeFindings:
    """One probe under one grader.

    Attributes:
        eligible: Responses that the probe applies to.
        all: Every probed response.
        capped: Those of them that the length cap had stopped.
        by_last_number: Probed responses that are right under `lenient` now.
        diverged: Responses that were made again and do not begin with the stored text.
        accuracy: Of the evaluation as it is.
        accuracy_if: Of the evaluation with the new texts in place of the probed ones.
        closed_alone: Responses of the evaluation that closed their answer by themselves, and how
            many of them are right.
        versions: Of the grader: behind the probed verdicts, then behind the stored ones.
    """

    kind: ProbeKind
    cap: int
    eligible: int
    all: Tally
    capped: Tally
    by_last_number: int
    diverged: int
    accuracy: float
    accuracy_if: float
    closed_alone: tuple[int, int]
    versions: tuple[frozenset[int], frozenset[int]] = (frozenset(), frozenset())

    @property
    def mixed(self) -> bool:
        """The probed verdicts and the stored ones come from different versions of the grader."""
        return len(frozenset().union(*self.versions)) > 1

    @property
    def limited(self) -> bool:
        """Not every response that the probe applies to was probed."""
        return self.all.n < self.eligible

    @property
    def alone(self) -> Tally:
        """The probed responses that had ended by themselves."""
        return Tally(
            self.all.n - self.capped.n,
            self.all.ended - self.capped.ended,
            self.all.right - self.capped.right,
        )


def find(
    probe: ProbeRecord, responses: Sequence[StoredResponse], grader: GraderName
) -> ProbeFindings:
    """Count what one probe found.

    Args:
        probe: The probe.
        responses: Every response of the evaluation.
        grader: Decides what is right; must have judged them.
    """
    stored = {(r.problem_id, r.sample): r for r in responses}
    before = sum(_right(stored[_place(p)], grader) for p in probe.responses)
    total = sum(_right(r, grader) for r in responses)
    closed = [r for r in responses if r.closed]
    everything = _tally(probe.kind, probe.responses, grader)
    return ProbeFindings(
        kind=probe.kind,
        cap=probe.cap,
        eligible=probe.eligible,
        all=everything,
        capped=_tally(probe.kind, _capped(probe.responses, stored), grader),
        by_last_number=sum(_right(p, GraderName.LENIENT) for p in probe.responses),
        diverged=sum(p.diverged for p in probe.responses),
        accuracy=total / len(responses),
        accuracy_if=(total - before + everything.right) / len(responses),
        closed_alone=(len(closed), sum(_right(r, grader) for r in closed)),
        versions=(_versions(probe.responses, grader), _versions(responses, grader)),
    )


def recovered(probes: Iterable[ProbeRecord], grader: GraderName) -> frozenset[Place]:
    """Responses that a probe made right.

    One that took another course when it was made again is another response, and proves nothing
    about the stored one.
    """
    return frozenset(
        _place(p)
        for probe in probes
        for p in probe.responses
        if not p.diverged and _right(p, grader)
    )


def _tally(kind: ProbeKind, probed: Sequence[ProbedResponse], grader: GraderName) -> Tally:
    ended = sum(
        p.closed if kind is ProbeKind.CLOSE else p.finish != FinishReason.LENGTH for p in probed
    )
    return Tally(len(probed), ended, sum(_right(p, grader) for p in probed))


def _capped(
    probed: Sequence[ProbedResponse], stored: Mapping[Place, StoredResponse]
) -> list[ProbedResponse]:
    return [p for p in probed if stored[_place(p)].finish == FinishReason.LENGTH]


def _place(response: StoredResponse | ProbedResponse) -> Place:
    return response.problem_id, response.sample


def _versions(
    responses: Sequence[StoredResponse | ProbedResponse], grader: GraderName
) -> frozenset[int]:
    return frozenset(r.grades[grader].version for r in responses if grader in r.grades)


def _right(response: StoredResponse | ProbedResponse, grader: GraderName) -> bool:
    grade = response.grades.get(grader)
    return grade is not None and grade.right
