"""A line of runs on the screen, stage by stage, and as plain data."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import interval, p_value, percent, points, tail
from a5ctl.tables.fit import FitColumn, FittedTable, fitted_table
from a5ctl.tables.pairs import Paired
from a5ctl.tables.stages import LineComparison, LineStage
from core.statistics import PairedComparison


def stages_table(line: LineComparison, console: Console) -> FittedTable:
    """One row per stage: accuracy, and what the stage changed."""

    def column(
        header: str, cell: Callable[[LineStage], str], importance: int, style: str = ""
    ) -> FitColumn:
        cells = [plain(cell(stage), style) for stage in line.stages]
        return FitColumn(header, cells, importance, right=True)

    def changed(show: Callable[[Paired, PairedComparison], str]) -> Callable[[LineStage], str]:
        return lambda stage: _changed(stage, show)

    names = [plain(stage.name if stage.run else tail(stage.name)) for stage in line.stages]
    kinds = [plain(stage.run.kind if stage.run else "") for stage in line.stages]
    columns = [
        FitColumn("stage", names, 99, elastic=16),
        FitColumn("kind", kinds, 40),
        column("step", _step, 60),
        column("accuracy", _accuracy, 98, "bold"),
        column("95%", lambda s: interval(s.measured.interval) if s.measured else "-", 70),
        column("change", changed(lambda _, test: points(test.difference)), 97, "bold"),
        column("95% of change", changed(lambda test, _: interval(test.bootstrap or (0, 0))), 80),
        column("+/-", changed(lambda _, test: f"+{test.only_b}/-{test.only_a}"), 75),
        column("p (Holm)", changed(lambda test, _: p_value(test.adjusted or 0)), 90),
        FitColumn("against", [plain(stage.against, "dim") for stage in line.stages], 50),
        FitColumn("", [_selected(stage) for stage in line.stages], 95),
    ]
    return fitted_table(columns, console)


def stage_notes(line: LineComparison) -> list[str]:
    """What the figures mean, and what could not be tested."""
    meaning = f"{line.grader} grader" if line.grader else "each run's own grader (--grader: one)"
    notes = [
        f"accuracy: {meaning}, of the weights that the next stage took up; change: points against "
        "the weights that the stage started from, on the same problems, with its 95% interval by a "
        "bootstrap over problems; p: Holm-corrected over the line; one line of runs speaks of "
        "these checkpoints only"
    ]
    total = line.total and line.total.comparison
    if line.total and total:
        notes.insert(
            0,
            f"in all: {points(total.difference)} points {interval(line.total.bootstrap or (0, 0))}"
            f", +{total.only_b}/-{total.only_a}, p {p_value(line.total.adjusted or 0)} (Holm)",
        )
    unknown = [stage.name for stage in line.stages[1:] if stage.measured is None]
    if unknown:
        notes.append(f"never evaluated where the next stage took them up: {', '.join(unknown)}")
    tests = [*((s.name, s.change) for s in line.stages), ("the whole line", line.total)]
    notes += [
        f"{name} is not tested: {test.refused}"
        for name, test in tests
        if test is not None and test.comparison is None
    ]
    return notes


def stages_json(line: LineComparison) -> dict[str, Any]:
    """The line as plain data."""
    return {
        "grader": line.grader,
        "warnings": line.warnings,
        "stages": [_stage_json(stage) for stage in line.stages],
        "total": None if line.total is None else asdict(line.total),
    }


def _stage_json(stage: LineStage) -> dict[str, Any]:
    measured = stage.measured
    return {
        "name": stage.name,
        "run": stage.run.id if stage.run else None,
        "kind": stage.run.kind if stage.run else None,
        "selected_on_test": stage.run.selected_on_test if stage.run else False,
        "step": measured.step if measured else None,
        "measured": measured.where if measured else None,
        "evaluation": measured.evaluation.uuid if measured else None,
        "n": measured.evaluation.n if measured else None,
        "accuracy": measured.accuracy if measured else None,
        "interval": measured.interval if measured else None,
        "against": stage.against or None,
        "change": None if stage.change is None else asdict(stage.change),
    }


def _step(stage: LineStage) -> str:
    return "-" if stage.measured is None else str(stage.measured.step)


def _accuracy(stage: LineStage) -> str:
    return "-" if stage.measured is None else percent(stage.measured.accuracy)


def _changed(stage: LineStage, show: Callable[[Paired, PairedComparison], str]) -> str:
    if stage.change is None:
        return "-"
    if stage.change.comparison is None:
        return "not tested"
    return show(stage.change, stage.change.comparison)


def _selected(stage: LineStage) -> Text:
    marked = stage.run is not None and stage.run.selected_on_test
    return plain("selected on test" if marked else "", "yellow")
