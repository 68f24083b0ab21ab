"""Puts a report together from the registry; nothing here knows how a page looks."""

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePath

from a5ctl.format import moment, tail
from a5ctl.reports.content import Question, Remark, Table, Tone
from a5ctl.reports.curves import gather_curves
from a5ctl.reports.excerpts import clipped, gather_examples
from a5ctl.reports.happenings import gather_events
from a5ctl.reports.mix import gather_mixes
from a5ctl.reports.origin import gather_codes, record_sheet
from a5ctl.reports.planned import cells_table, effects_table
from a5ctl.reports.protocols import gather_protocols
from a5ctl.reports.report import Report
from a5ctl.reports.results import (
    headline_facts,
    result_remarks,
    results_table,
    runs_table,
    verdicts_of,
)
from a5ctl.reports.subject import Subject
from a5ctl.tables.comparison import Comparison, build_comparison
from a5ctl.tables.comparison_cell import Cell
from a5ctl.tables.entries import Entry
from core.errors import UserError
from core.registry.records import RunRecord
from core.registry.store import Registry
from core.responses.names import GraderName

_NOTE_CHARS = 5000
_OF_CELLS = ("cell:", "set:")
"""How tags begin that plans give to their runs."""
_LABEL_CHARS = 300
MOST_DETAILED = 24
"""Runs with curves, mixes and responses; of more, the best ones."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a report is wanted.

    Attributes:
        examples: Responses of each class of each run.
        metrics: Curves to draw; the usual ones when None.
        command: What makes the page again.
    """

    title: str | None
    grader: GraderName | None
    baseline: RunRecord | None
    examples: int
    metrics: tuple[str, ...] | None
    command: str


def gather_report(registry: Registry, subject: Subject, wishes: Wishes) -> Report:
    """Everything that the page shows.

    Raises:
        UserError: a metric or a baseline that was asked for does not fit the runs.
    """
    runs = _with_baseline(subject.runs, wishes.baseline)
    last = registry.last_evaluations([run.uuid for run in runs])
    comparison, why = _compare(registry, runs, wishes)
    detailed = _detailed(runs, comparison)
    evaluations = registry.evaluations([run.uuid for run in detailed])
    protocols = gather_protocols(runs, last)
    curves = gather_curves(registry, detailed, evaluations, wishes.metrics)
    mix_overview, mixes, mix_remarks = gather_mixes(registry, detailed, evaluations, wishes.grader)
    examples, missing = gather_examples(registry, detailed, last, wishes.grader, wishes.examples)
    events, event_remarks = gather_events(registry, runs)
    effects, effect_remarks = _effects(registry, subject, wishes)
    codes, code_differences = gather_codes(registry, runs)
    return Report(
        title=wishes.title or _title(subject),
        subject=f"{subject.kind} {subject.name}",
        made=moment(time.time()),
        version=version("a5ctl"),
        command=wishes.command,
        facts=tuple(headline_facts(runs, comparison, subject.judged)),
        question=_question(subject, runs),
        protocols=protocols.protocols,
        protocol_differences=protocols.differences,
        verdicts=None if subject.judged is None else verdicts_of(subject.judged),
        cells=None if subject.experiments is None else cells_table(registry, subject.experiments),
        effects=effects,
        effect_remarks=effect_remarks,
        results=None if comparison is None else results_table(comparison),
        result_remarks=result_remarks(comparison) if comparison else (Remark(why, Tone.UNSURE),),
        runs=runs_table(runs, last, protocols.numbers),
        legend=curves.legend,
        charts=curves.charts,
        mix_overview=mix_overview,
        mixes=mixes,
        mix_remarks=mix_remarks,
        examples=examples,
        example_remarks=missing,
        events=events,
        event_remarks=event_remarks,
        codes=codes,
        code_differences=code_differences,
        records=tuple(record_sheet(registry, run) for run in runs),
        commands=_commands(subject, wishes),
        anchors={run.id: f"run-{number}" for number, run in enumerate(runs, start=1)},
        selection=_selection(runs, detailed),
        plan=subject.text,
    )


def _effects(
    registry: Registry, subject: Subject, wishes: Wishes
) -> tuple[Table | None, tuple[Remark, ...]]:
    if subject.experiments is None:
        return None, ()
    return effects_table(registry, subject.experiments, wishes.grader)


def _with_baseline(runs: Sequence[RunRecord], baseline: RunRecord | None) -> list[RunRecord]:
    known = {run.uuid for run in runs}
    return [*runs, *([baseline] if baseline is not None and baseline.uuid not in known else [])]


def _compare(
    registry: Registry, runs: Sequence[RunRecord], wishes: Wishes
) -> tuple[Comparison | None, str]:
    """The table, or why there is none."""
    try:
        found = build_comparison(
            registry,
            runs,
            grader=wishes.grader,
            baseline=wishes.baseline,
            merge_seeds=wishes.baseline is None,
        )
    except UserError as error:
        if wishes.baseline is not None:
            raise
        return None, f"There is nothing to compare: {error}."
    return found, ""


def _detailed(runs: Sequence[RunRecord], comparison: Comparison | None) -> list[RunRecord]:
    """Best settings first, then what has no evaluation."""
    cells = () if comparison is None else comparison.cells
    ranked = [entry.run for cell in cells for entry in _by_seed(cell)]
    known = {run.uuid for run in ranked}
    return [*ranked, *(run for run in runs if run.uuid not in known)][:MOST_DETAILED]


def _by_seed(cell: Cell) -> list[Entry]:
    return sorted(cell.entries, key=lambda entry: (entry.run.seed or 0, entry.run.id))


def _title(subject: Subject) -> str:
    return f"{subject.kind.capitalize()} {subject.name}"


def _question(subject: Subject, runs: Sequence[RunRecord]) -> Question:
    notes: dict[str, list[str]] = {}
    for run in runs:
        if run.note:
            notes.setdefault(run.note, []).append(run.id)
    labels: dict[str, list[str]] = {
        "group": sorted({run.group for run in runs if run.group}),
        "tags": sorted({tag for run in runs for tag in run.tags if not tag.startswith(_OF_CELLS)}),
        "methods": sorted({run.kind for run in runs}),
        "models": sorted({_without_folders(run.model) for run in runs}),
        "data": sorted({_without_folders(run.data) for run in runs}),
        "seeds": [str(seed) for seed in sorted({r.seed for r in runs if r.seed is not None})],
    }
    return Question(
        text=clipped(subject.note, _NOTE_CHARS),
        notes=tuple((clipped(note, _NOTE_CHARS), tuple(ids)) for note, ids in notes.items()),
        labels=tuple(
            (name, clipped(", ".join(values), _LABEL_CHARS))
            for name, values in labels.items()
            if values
        ),
    )


def _without_folders(name: str) -> str:
    """The end of a path on some machine; the runs' records hold all of it."""
    return tail(name) if PurePath(name).is_absolute() else name


def _selection(runs: Sequence[RunRecord], detailed: Sequence[RunRecord]) -> str:
    if len(detailed) == len(runs):
        return ""
    return (
        f"Curves, failure mixes and responses are those of the {len(detailed)} best of "
        f"{len(runs):,} runs; the tables hold all."
    )


def _commands(subject: Subject, wishes: Wishes) -> tuple[tuple[str, str], ...]:
    found = [(wishes.command, "this page again")]
    name = shlex.quote(subject.name)
    if subject.kind == "group":
        found.append((f"a5ctl compare --group {name}", "the table in the terminal"))
        found.append((f"a5ctl ls --group {name}", "its runs"))
    if subject.kind == "runs":
        ids = " ".join(shlex.quote(run.id) for run in subject.runs)
        found.append((f"a5ctl compare {ids}", "the table in the terminal"))
    if subject.experiments is not None:
        file = shlex.quote(str(subject.experiments.path))
        found.append((f"a5ctl plan run {file}", "what is missing of the plan, or all of it anew"))
        found.append((f"a5ctl plan report {file}", "settings, effects and verdicts again"))
    elif subject.kind == "plan":
        found.append(("a5ctl compare --criteria PLAN.toml", "the verdicts in the terminal"))
    return tuple(found)
