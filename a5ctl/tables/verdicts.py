"""What checking a plan says: verdicts with the numbers behind them."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from core.criteria.plan import CriteriaPlan, Criterion
from core.registry.records import PlanRecord


class Verdict(StrEnum):
    """What the data say about a claim."""

    MET = "met"
    NOT_MET = "not met"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class Figures:
    """Numbers of one comparison; differences are shares, candidate minus baseline.

    Attributes:
        p: That the difference is the boundary of the claim; two-sided.
        detectable: What could have been found with 80% power.
        seeds_needed: With which a difference of this size would have been; None where that is
            not reckoned, or is beyond what anybody runs.
    """

    difference: float
    interval: tuple[float, float]
    p: float
    seeds: int
    problems: int
    detectable: float
    seeds_needed: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One candidate against the baseline at one place.

    Attributes:
        place: Settings that were held, for example `{"data.size": 1024}`.
        figures: None where no comparison could be made.
        adjusted: Holm-corrected p over the whole plan; None where no test decides.
        runs: Ids of the runs of both sides that were used.
        reason: Why nothing can be told.
    """

    candidate: str
    baseline: str
    place: Mapping[str, Any]
    verdict: Verdict
    figures: Figures | None = None
    adjusted: float | None = None
    runs: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Judged:
    """A criterion with its findings; it is met when every one is."""

    criterion: Criterion
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Not met as soon as one finding is not; met when all are."""
        found = {finding.verdict for finding in self.findings}
        if Verdict.NOT_MET in found:
            return Verdict.NOT_MET
        return Verdict.MET if found == {Verdict.MET} else Verdict.CANNOT_TELL


@dataclass(frozen=True, slots=True)
class Timing:
    """When the plan was written, and when the runs it judges were started.

    Attributes:
        first_seen: Of exactly this content.
        judged: Runs that belong to its sets.
        earlier: Those that had started before this content was first seen.
        previous: The version before this one, if there is one.
        changes: What this version changed.
    """

    first_seen: float
    judged: tuple[str, ...]
    earlier: tuple[str, ...]
    previous: PlanRecord | None
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan with its verdicts."""

    plan: CriteriaPlan
    hash: str
    timing: Timing
    judged: tuple[Judged, ...]
    warnings: tuple[str, ...]
