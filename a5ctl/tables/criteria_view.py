"""A judged plan as lines for the terminal, and as plain data."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from a5ctl.format import first_of, interval, moment, noise_words, p_value, points
from a5ctl.tables.verdicts import Finding, Judged, PlanReport, Timing, Verdict
from core.criteria.plan import Criterion

_STYLES = {Verdict.MET: "green", Verdict.NOT_MET: "red", Verdict.CANNOT_TELL: "yellow"}
_CLAIMS = {
    "higher": "more than {} points above",
    "lower": "more than {} points below",
    "not_lower": "at most {} points below",
    "not_higher": "at most {} points above",
}
_SHOWN_RUNS = 5


def plan_lines(report: PlanReport) -> Iterator[tuple[str, str]]:
    """Lines with their styles: when the plan was written, then every criterion."""
    yield f"plan {report.plan.name} ({report.hash})", "bold"
    yield from timing_lines(report.timing)
    for warning in report.warnings:
        yield f"! {warning}", "yellow"
    for judged in report.judged:
        yield "", ""
        yield from _criterion_lines(judged)
    verdicts = [judged.verdict for judged in report.judged]
    yield "", ""
    yield ", ".join(f"{verdicts.count(kind)} {kind}" for kind in Verdict), "bold"


def plan_json(report: PlanReport) -> dict[str, Any]:
    """The report as plain data; differences and intervals are shares, margins are points."""
    timing = report.timing
    return {
        "plan": report.plan.name,
        "hash": report.hash,
        "first_seen": timing.first_seen,
        "judged_runs": timing.judged,
        "started_before_plan": timing.earlier,
        "previous_version": None
        if timing.previous is None
        else {"hash": timing.previous.hash, "first_seen": timing.previous.first_seen},
        "changes": timing.changes,
        "warnings": report.warnings,
        "criteria": [
            {
                **judged.criterion.model_dump(mode="json"),
                "verdict": judged.verdict,
                "findings": [asdict(finding) for finding in judged.findings],
            }
            for judged in report.judged
        ],
    }


def timing_lines(timing: Timing) -> Iterator[tuple[str, str]]:
    """When the plan was written, before or after the runs it judges; lines with their styles."""
    seen = f"first seen {moment(timing.first_seen)}"
    total = len(timing.judged)
    if not total:
        yield f"{seen}, before any run it judges", "dim"
    elif not timing.earlier:
        yield f"{seen}, before the first of the {total} runs it judges", "dim"
    else:
        names = first_of(timing.earlier, _SHOWN_RUNS)
        late = f"{len(timing.earlier)} of the {total} runs it judges had started ({names})"
        yield f"! {seen}, when {late}: this is no plan made beforehand", "yellow"
    if timing.previous is not None:
        what = ", ".join(timing.changes) or "the order of its parts"
        style = "yellow" if timing.earlier else "dim"
        mark = "! " if timing.earlier else ""
        yield (
            f"{mark}it replaced a version first seen {moment(timing.previous.first_seen)}: "
            + (f"{what}"),
            style,
        )


def _criterion_lines(judged: Judged) -> Iterator[tuple[str, str]]:
    yield f"{judged.verdict}: {judged.criterion.name}", f"bold {_STYLES[judged.verdict]}"
    yield f"  claim: {claim(judged.criterion)}", "dim"
    for finding in judged.findings:
        yield f"  {_finding(finding, judged.criterion)}", _STYLES[finding.verdict]


def claim(criterion: Criterion) -> str:
    """What a criterion says, in one sentence."""
    grader = f" under {criterion.grader}" if criterion.metric in ("accuracy", "formatted") else ""
    distance = _CLAIMS[criterion.direction].format(f"{criterion.margin:g}")
    how = "by the estimate alone"
    if criterion.significant:
        how = "by a test at 5%, Holm over the plan"
    return (
        f"{criterion.metric}{grader} of {', '.join(criterion.candidates)} {distance} that of "
        f"{criterion.baseline}, {how}; speaks of {_scope(criterion)}"
    )


def _scope(criterion: Criterion) -> str:
    return "settings" if criterion.scope == "setting" else "these checkpoints only"


def _finding(finding: Finding, criterion: Criterion) -> str:
    place = ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in finding.place.items())
    head = f"{finding.verdict}: {finding.candidate}" + (f" at {place}" if place else "")
    if criterion.scope == "checkpoints" and finding.runs:
        head += f" ({' against '.join(reversed(finding.runs))})"
    figures = finding.figures
    if figures is None:
        return f"{head}: {finding.reason}"
    text = f"{head}: {points(figures.difference)} points {interval(figures.interval)}"
    if finding.adjusted is not None:
        text += f", p {p_value(finding.adjusted)} (Holm)"
    seeds = "1 seed" if figures.seeds == 1 else f"{figures.seeds} seeds"
    text += f", {seeds} x {figures.problems:,} problems"
    if finding.reason:
        text += f"; {finding.reason}"
    if finding.verdict is Verdict.CANNOT_TELL and figures.detectable > 0:
        text += f"; {noise_words(figures.detectable, figures.seeds_needed, figures.seeds)}"
    return text
