"""What probes of one evaluation found, ready to be shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.probing.findings import ProbeFindings, find
from core.probing.names import ProbeKind
from core.registry.probe_records import ProbeRecord
from core.registry.records import EvaluationRecord, RunRecord, StoredResponse
from core.responses.names import GraderName
from core.statistics import wilson_interval


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


def cap_reading(found: ProbeFindings, last: int) -> str:
    """What the largest cap says, in one sentence.

    Args:
        found: Under the largest cap.
        last: Its cap.
    """
    n, ended, right = found.all.n, found.all.ended, found.all.right
    if not ended:
        return f"None of the {n} comes to an end within {last} tokens: they do not stop."
    cut = f"{n - ended} are still cut" if ended < n else "none is cut any more"
    return f"Of the {n}, {ended} come to an end within {last} tokens, {right} of them right; {cut}."


def closing_reading(found: ProbeFindings) -> str:
    """Whether the model knows what it does not close, in one sentence.

    The shares are compared through their 95% intervals: responses that closed by themselves may
    be the easier ones, so this describes, and proves no cause.
    """
    n, right = found.all.n, found.all.right
    closed, closed_right = found.closed_alone
    if not right:
        return f"None of the {n} is right once it is closed: it does not know these answers."
    if not closed:
        return f"{right} of the {n} are right once closed; none closed by itself to compare with."
    low, high = wilson_interval(right, n)
    low_alone, high_alone = wilson_interval(closed_right, closed)
    if high < low_alone:
        return (
            "Once closed they are right less often than those that closed by themselves: most of "
            "what is missing is the answer, not the tag."
        )
    if low > high_alone:
        return (
            "Once closed they are right more often than those that closed by themselves: it knows "
            "these answers, and does not close them."
        )
    return (
        "Once closed they are right about as often as those that closed by themselves: what they "
        "lack is the closing."
    )
