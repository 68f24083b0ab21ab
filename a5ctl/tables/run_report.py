"""Gathers everything the registry knows about one run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a5ctl.format import iso
from a5ctl.tables.lineage import Lineage, lineage_json, parent_id, run_lineage
from a5ctl.tables.runs import RunLine, run_json
from core.registry.liveness import LOST, STALE, display_status
from core.registry.records import (
    ArtifactRecord,
    CurvePoint,
    EvaluationRecord,
    EventRecord,
    Headline,
    MetricSummary,
    RunRecord,
)
from core.registry.store import Registry
from core.workspace import Workspace

_CURVE_POINTS = 120
_VALUES_OF_A_POINT = 8  # they are drawn as a few block characters


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run.

    Attributes:
        status: As shown, `stale` and `lost` included.
        folder: The run folder.
        parent: Short id of the run it started from; what is known of it where it was deleted.
        children: Short ids of the runs that started from it.
        curves: Its metrics in a few hundred points each.
        lineage: Where it comes from, and what came of it.
        next_commands: (command, what it is good for).
    """

    run: RunRecord
    status: str
    folder: Path
    parent: str | None
    children: tuple[str, ...]
    provenance: Mapping[str, Any]
    traceback: str | None
    evaluations: Sequence[EvaluationRecord]
    summaries: Mapping[str, MetricSummary]
    curves: Mapping[str, Sequence[CurvePoint]]
    events: Sequence[EventRecord]
    artifacts: Sequence[ArtifactRecord]
    lineage: Lineage
    next_commands: tuple[tuple[str, str], ...]


def run_report(registry: Registry, workspace: Workspace, run: RunRecord) -> RunReport:
    """Read one run."""
    status = display_status(run)
    evaluations = registry.evaluations([run.uuid])
    lineage = run_lineage(registry, run)
    return RunReport(
        run=run,
        status=status,
        folder=workspace.run_folder(run.id),
        parent=_parent(lineage),
        children=tuple(child.id for child in lineage.children.get(run.uuid, ())),
        provenance=registry.provenance(run.uuid),
        traceback=registry.traceback(run.uuid),
        evaluations=evaluations,
        summaries=registry.metric_summaries([run.uuid])[run.uuid],
        curves=registry.curves([run.uuid], None, _CURVE_POINTS, _VALUES_OF_A_POINT)[run.uuid],
        events=registry.events(run.uuid),
        artifacts=registry.artifacts(run.uuid),
        lineage=lineage,
        next_commands=tuple(_next_commands(lineage, status, evaluated=bool(evaluations))),
    )


def report_json(report: RunReport) -> dict[str, Any]:
    """The whole report for programs; non-finite figures are the strings `nan`, `inf`, `-inf`."""
    last = report.evaluations[-1] if report.evaluations else None
    headline = None
    if last is not None:
        headline = Headline(last.step, last.split, last.n, last.accuracy, last.interval)
    step = max((summary.last_step for summary in report.summaries.values()), default=None)
    line = RunLine(report.run, report.status, headline, step)
    return {
        **run_json(line),
        "parent_id": report.parent,
        "children": list(report.children),
        "lineage": lineage_json(report.lineage),
        "config": report.run.config,
        "provenance": report.provenance,
        "traceback": report.traceback,
        "evaluations": [_evaluation_json(e) for e in report.evaluations],
        "metrics": {
            name: {key: finite(value) for key, value in asdict(summary).items()}
            for name, summary in sorted(report.summaries.items())
        },
        "events": [{**asdict(event), "time": iso(event.time)} for event in report.events],
        "artifacts": [{**asdict(a), "time": iso(a.time)} for a in report.artifacts],
        "next": [command for command, _ in report.next_commands],
    }


def finite(value: Any) -> Any:
    """The value, or its name where it is a float that JSON cannot hold."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _evaluation_json(evaluation: EvaluationRecord) -> dict[str, Any]:
    figures = asdict(evaluation)
    del figures["lengths_json"]
    return {
        **figures,
        "lengths": evaluation.lengths,
        "time": iso(evaluation.time),
        "tokens_per_second": evaluation.tokens_per_second,
        "closure_gap": evaluation.closure_gap,
        "format_gap": evaluation.format_gap,
    }


def _parent(lineage: Lineage) -> str | None:
    if lineage.run.parent_uuid is None:
        return None
    return lineage.ancestors[-1].id if lineage.ancestors else f"{parent_id(lineage.run)} (deleted)"


def _next_commands(lineage: Lineage, status: str, *, evaluated: bool) -> list[tuple[str, str]]:
    run, commands = lineage.run, []
    ours = "dump" not in run.config  # another tool has the weights of the others
    if ours and status in ("failed", "interrupted", STALE, LOST):
        commands.append((f"a5ctl resume {run.id}", "go on from the newest checkpoint"))
    if status in (STALE, LOST):
        commands.append((f"a5ctl close {run.id}", "give it up"))
    if evaluated:
        commands.append((f"a5ctl diagnose {run.id}", "why are the wrong answers wrong?"))
        commands.append((f"a5ctl compare --baseline {run.id}", "is another run really better?"))
    if evaluated and lineage.ancestors:
        commands.append((f"a5ctl compare --lineage {run.id}", "what did each stage add?"))
    if ours and status == "finished" and run.kind != "eval":
        commands.append((f"a5ctl run sft --init {run.id}", "train on from here"))
        commands.append((f"a5ctl run grpo --init {run.id}", "learn from its own answers"))
    return commands or [("a5ctl ls", "all runs")]
