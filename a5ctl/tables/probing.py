"""What probes of one evaluation found, ready to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from a5ctl.format import points
from core.probing.findings import ProbeFindings, Tally, find
from core.probing.names import ProbeKind
from core.registry.probe_records import ProbeRecord
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.responses.names import GraderName
from core.statistics import difference_interval


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Probes of one evaluation under one grader.

    Attributes:
        n: Responses of the evaluation.
        records: The probes, with texts.
        findings: What each of them found, in the same order.
        notes: What was asked for and does not apply.
    """

    run: RunRecord
    evaluation: EvaluationRecord
    grader: GraderName
    n: int
    records: tuple[ProbeRecord, ...]
    findings: tuple[ProbeFindings, ...]
    notes: tuple[str, ...]

    def of_kind(self, kind: ProbeKind) -> list[ProbeFindings]:
        """The findings of one kind, by cap."""
        return [found for found in self.findings if found.kind is kind]


def report_probes(
    run: RunRecord,
    evaluation: EvaluationRecord,
    responses: Sequence[StoredResponse],
    records: Sequence[ProbeRecord],
    grader: GraderName,
    notes: Sequence[str] = (),
) -> ProbeReport:
    """Count what the probes found."""
    return ProbeReport(
        run=run,
        evaluation=evaluation,
        grader=grader,
        n=len(responses),
        records=tuple(records),
        findings=tuple(find(record, responses, grader) for record in records),
        notes=tuple(notes),
    )


def cap_reading(found: ProbeFindings) -> str:
    """What the largest cap says, in one sentence."""
    n, ended, right = found.all.n, found.all.ended, found.all.right
    within = f"within {found.cap} tokens"
    if not ended:
        return f"None of the {n} comes to an end {within}: they do not stop."
    if ended == n:
        return f"All {n} come to an end {within}, and {right} of them are right."
    return f"{ended} of the {n} come to an end {within}; {right} are right, {n - ended} still cut."


def closing_readings(found: ProbeFindings) -> list[str]:
    """What the model knows of what it did not close, most telling sentence first.

    Responses that ended by themselves had their say, so what they lack once they are closed is
    knowledge. Those that the cap cut are asked before they are done: a wrong answer proves nothing.
    """
    readings = []
    alone, capped = found.alone, found.capped
    if alone.n:
        readings.append(
            f"Of {alone.n} that ended without closing an answer, {alone.right} are right once "
            f"closed: {_knowledge(alone)}."
        )
    if capped.n:
        readings.append(
            f"Of {capped.n} that the cap cut, {capped.right} are right when they must answer at "
            "once; the others may only lack room, which --max-tokens tells."
        )
    return readings


def gap_sentence(found: ProbeFindings) -> str | None:
    """The share right once closed against that of responses that closed by themselves."""
    closed, closed_right = found.closed_alone
    if not closed:
        return None
    low, high = difference_interval(found.all.right, found.all.n, closed_right, closed)
    gap = found.all.right / found.all.n - closed_right / closed
    return (
        f"Against those that closed by themselves the share right differs by {points(gap)} points "
        f"[{points(low)}, {points(high)}]: {_gap_reading(low, high)}."
    )


def _knowledge(tally: Tally) -> str:
    if not tally.right:
        return "it does not know them"
    if 2 * tally.right < tally.n:
        return "it does not know most of them"
    return "it knows most of them and does not close them"


def _gap_reading(low: float, high: float) -> str:
    if low > 0:
        return "they are right more often"
    return "they are right less often" if high < 0 else "the two cannot be told apart"
