"""The figures of a report: settings side by side, every run, and what a plan says about them."""

from collections.abc import Sequence

from a5ctl.format import count, deviation, interval, noise_words, p_value, percent, points
from a5ctl.reports.content import Cell, Claim, Fact, Remark, Table, Tone, Verdicts
from a5ctl.tables.comparison import Comparison
from a5ctl.tables.comparison_columns import FURTHER_SETTING
from a5ctl.tables.comparison_notes import detectable_line
from a5ctl.tables.comparison_view import comparison_columns, setting_line
from a5ctl.tables.criteria_view import claim, timing_lines
from a5ctl.tables.verdicts import Finding, Judged, PlanReport, Verdict
from core.registry.liveness import display_status
from core.registry.records import EvaluationRecord, RunRecord, RunStatus

_TONES = {Verdict.MET: Tone.GOOD, Verdict.NOT_MET: Tone.BAD, Verdict.CANNOT_TELL: Tone.UNSURE}
_STATUS_TONES = {
    RunStatus.FINISHED: Tone.GOOD,
    RunStatus.FAILED: Tone.BAD,
    RunStatus.INTERRUPTED: Tone.BAD,
}


def results_table(comparison: Comparison) -> Table:
    """Settings side by side, best first, with the columns of `a5ctl compare`.

    Where many settings differ, all but the first stand behind the figures: a page is not so wide.
    """
    columns = sorted(comparison_columns(comparison), key=lambda c: c.priority == FURTHER_SETTING)
    rows = []
    for cell in comparison.cells:
        texts = [column.cell(cell).plain for column in columns]
        alone = cell.entries[0].run.id if len(cell.entries) == 1 else None
        rows.append((Cell(texts[0], Tone.CODE, alone), *map(Cell, texts[1:])))
    grader = f"the {comparison.grader} grader" if comparison.grader else "each run's own grader"
    return Table(
        caption=f"Last evaluation of each run, best first; accuracy by {grader}.",
        headers=tuple(column.title for column in columns),
        rows=tuple(rows),
        numeric=_places([column.justify == "right" for column in columns]),
    )


def result_remarks(comparison: Comparison) -> tuple[Remark, ...]:
    """What has to be known to read the table."""
    remarks = [Remark(warning, Tone.UNSURE) for warning in comparison.warnings]
    if any(len(cell.entries) > 1 for cell in comparison.cells):
        remarks.append(
            Remark("Rows with several seeds show the mean and its standard error over seeds.")
        )
    remarks += [Remark(f"{line[0].upper()}{line[1:]}.") for line in detectable_line(comparison)]
    remarks += [Remark(setting_line(test)) for test in comparison.settings]
    if comparison.baseline is not None:
        remarks.append(
            Remark(
                f"diff: points against {comparison.baseline} on the same problems, with its 95% "
                "bootstrap interval; +/-: problems gained and lost; p: paired, Holm-corrected. One "
                "seed speaks of these checkpoints only."
            )
        )
    remarks += [
        Remark(f"{name} is not tested: {test.refused}", Tone.UNSURE)
        for name, test in comparison.paired.items()
        if test.comparison is None
    ]
    return tuple(remarks)


def runs_table(
    runs: Sequence[RunRecord], evaluations: dict[str, EvaluationRecord], protocols: dict[str, int]
) -> Table:
    """Every run with the evaluation that its figures come from.

    Args:
        runs: The runs.
        evaluations: The last one by run uuid.
        protocols: Number of the protocol on the page, by evaluation uuid.
    """
    headers = (
        *("run", "status", "seed", "step", "split", "n", "accuracy", "95% interval"),
        *("type1", "type2", "type3", "unclosed", "unparseable", "at cap", "protocol"),
    )
    rows = []
    for run in runs:
        found = evaluations.get(run.uuid)
        figures = ("-",) * 12 if found is None else _figures(found, protocols[found.uuid])
        status = str(display_status(run))
        rows.append(
            (
                Cell(run.id, Tone.CODE, run.id),
                Cell(status, status_tone(run)),
                Cell("-" if run.seed is None else str(run.seed)),
                *map(Cell, figures),
            )
        )
    numeric = frozenset(range(2, len(headers) - 1)) - {4}
    caption = "Every run with the evaluation its figures come from."
    return Table(caption, headers, tuple(rows), numeric)


def status_tone(run: RunRecord) -> Tone:
    """Whether a run ended well."""
    return _STATUS_TONES.get(run.status, Tone.UNSURE)


def headline_facts(
    runs: Sequence[RunRecord], comparison: Comparison | None, judged: PlanReport | None
) -> list[Fact]:
    """The figures that a reader wants first."""
    finished = sum(run.status is RunStatus.FINISHED for run in runs)
    tone = Tone.PLAIN if finished == len(runs) else Tone.UNSURE
    facts = [Fact("runs", count(len(runs)), f"{finished:,} finished", tone)]
    if comparison is not None:
        best = comparison.cells[0]
        several = len(best.entries) > 1
        spread = f"{deviation(best.standard_error or 0)} (SE over {len(best.entries)} seeds)"
        sure = spread if several or best.interval is None else f"95% {interval(best.interval)}"
        name = "best accuracy" if len(comparison.cells) > 1 else "accuracy"
        facts.append(Fact(name, percent(best.mean), f"{_who(comparison)}, {sure}"))
        asked = sum(entry.evaluation.n for cell in comparison.cells for entry in cell.entries)
        facts.append(Fact("responses judged", count(asked), "in the last evaluations"))
    if judged is not None:
        facts.append(_verdict_fact(judged))
    return facts


def verdicts_of(judged: PlanReport) -> Verdicts:
    """The plan, claim by claim."""
    remarks = [
        Remark(line.removeprefix("! "), Tone.UNSURE if style == "yellow" else Tone.PLAIN)
        for line, style in timing_lines(judged.timing)
    ]
    remarks += [Remark(warning, Tone.UNSURE) for warning in judged.warnings]
    return Verdicts(tuple(remarks), tuple(map(_claim, judged.judged)))


def _claim(judged: Judged) -> Claim:
    headers = (
        *("candidate", "at", "verdict", "difference", "95% interval", "p (Holm)"),
        *("seeds", "problems", "why", "runs"),
    )
    findings = Table(
        caption=f"Each candidate against {judged.criterion.baseline}; differences in points.",
        headers=headers,
        rows=tuple(_finding(finding) for finding in judged.findings),
        numeric=frozenset((3, 4, 5, 6, 7)),
        wide=frozenset((8,)),
    )
    verdict = judged.verdict
    criterion = judged.criterion
    return Claim(criterion.name, claim(criterion), str(verdict), _TONES[verdict], findings)


def _finding(finding: Finding) -> tuple[Cell, ...]:
    place = ", ".join(f"{key.rsplit('.', 1)[-1]} {value}" for key, value in finding.place.items())
    figures = finding.figures
    numbers = ("-",) * 5
    why = finding.reason
    if figures is not None:
        numbers = (
            points(figures.difference),
            interval(figures.interval),
            "-" if finding.adjusted is None else p_value(finding.adjusted),
            str(figures.seeds),
            count(figures.problems),
        )
        if finding.verdict is Verdict.CANNOT_TELL and figures.detectable > 0:
            noise = noise_words(figures.detectable, figures.seeds_needed, figures.seeds)
            why = f"{why}; {noise}" if why else noise
    return (
        Cell(finding.candidate),
        Cell(place or "-"),
        Cell(str(finding.verdict), _TONES[finding.verdict]),
        *map(Cell, numbers),
        Cell(why or "-"),
        Cell("", more="\n".join(finding.runs), unfold=f"{len(finding.runs)} runs")
        if finding.runs
        else Cell("-"),
    )


def _verdict_fact(judged: PlanReport) -> Fact:
    found = [one.verdict for one in judged.judged]
    met, missed = found.count(Verdict.MET), found.count(Verdict.NOT_MET)
    tone = Tone.GOOD if met == len(found) else Tone.BAD if missed else Tone.UNSURE
    others = f"{missed} not met, {found.count(Verdict.CANNOT_TELL)} cannot tell"
    return Fact("claims met", f"{met} of {len(found)}", others, tone)


def _who(comparison: Comparison) -> str:
    return comparison_columns(comparison)[0].cell(comparison.cells[0]).plain


def _figures(found: EvaluationRecord, protocol: int) -> tuple[str, ...]:
    unparseable = percent(found.unparseable / found.numeric) if found.numeric else "-"
    return (
        *(str(found.step), found.split, count(found.n)),
        *(percent(found.accuracy), interval(found.interval)),
        *map(count, (found.type1, found.type2, found.type3)),
        *(percent(found.unclosed / found.n), unparseable, percent(found.truncated / found.n)),
        f"P{protocol}",
    )


def _places(which: Sequence[bool]) -> frozenset[int]:
    return frozenset(place for place, chosen in enumerate(which) if chosen)
