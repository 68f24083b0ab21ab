"""Probes in words: what an event says, and what it means that responses took another course."""

from core.probing.findings import ProbeFindings
from core.probing.names import ProbeKind
from core.registry.entries import EventEntry, new_uuid
from core.registry.probe_records import ProbeRecord
from core.registry.records import EvaluationRecord
from core.responses.names import GraderName


def diverged_sentence(
    found: ProbeFindings, evaluation: EvaluationRecord, probe: ProbeRecord
) -> str:
    """What it means that responses took another course."""
    before = tuple(evaluation.protocol[name] for name in ("engine", "engine_version", "dtype"))
    now = (probe.engine, probe.engine_version, probe.dtype)
    if before != now:
        reason = f"{' '.join(before)} wrote that one, {' '.join(now)} the new one"
    elif probe.dtype == "float32":
        reason = "in another batch rounding can do that to a few, and many mean other weights"
    else:
        reason = f"in another batch {probe.dtype} rounds otherwise, which greedy choices can follow"
    return (
        f"{found.diverged} of {found.all.n} responses that were made again do not begin with the "
        f"stored one: {reason}; the verdict of diagnose does not count them"
    )


def probe_event(
    evaluation: EvaluationRecord, probe: ProbeRecord, found: ProbeFindings, grader: GraderName
) -> EventEntry:
    """What the run remembers of a probe."""
    return EventEntry(
        uuid=new_uuid(),
        time=probe.time,
        step=evaluation.step,
        severity="warning" if found.diverged else "info",
        kind="probed",
        message=probe_message(found, grader),
        data={
            "evaluation": evaluation.uuid,
            "kind": probe.kind.value,
            "cap": probe.cap,
            "eligible": found.eligible,
            "n": found.all.n,
            "ended": found.all.ended,
            "right": found.all.right,
            "diverged": found.diverged,
            "grader": grader.value,
            "accuracy": found.accuracy,
            "accuracy_if": found.accuracy_if,
            "engine": probe.engine,
        },
    )


def probe_message(found: ProbeFindings, grader: GraderName) -> str:
    """One probe in one sentence."""
    n, ended, right = found.all.n, found.all.ended, found.all.right
    what = (
        f"{n} unclosed responses were helped to close: {ended} did"
        if found.kind is ProbeKind.CLOSE
        else f"{n} capped responses were made again with up to {found.cap} tokens: {ended} end"
    )
    return (
        f"{what} and {right} are right under {grader}; accuracy would be "
        f"{found.accuracy_if:.1%} instead of {found.accuracy:.1%}"
    )
