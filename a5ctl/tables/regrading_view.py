"""What regrading changed, on the screen and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, percent
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.regrading import RegradingSummary
from a5ctl.tables.responses import brief, field_grid, response_text, spread
from core.registry.records import StoredGrade
from core.regrading import GradeChange, RegradedEvaluation

LISTED = 12
"""Evaluations that the table of accuracies shows before it says how many earlier ones there are."""


def print_regrading(console: Console, summary: RegradingSummary, examples: int) -> None:
    """Print what changed by grader and by evaluation, and some verdicts that turned round.

    Args:
        console: Where to.
        summary: What happened.
        examples: How many flipped responses to show.
    """
    many = len(summary.evaluations)
    if not summary.responses:
        asked = ", ".join(f"{row.grader} {row.versions[-1]}" for row in summary.changes)
        text = f"nothing to do: every response of {summary.run.id} has its grades of {asked}"
        console.print(plain(text))
        return
    flips = summary.flips
    text = f"{count(summary.responses)} responses in {many} evaluations graded again; "
    text += f"{count(len(flips))} verdicts flipped"
    title = plain(summary.run.id, style="bold cyan").append("  ").append(text, style="not bold")
    console.print(title)
    console.print(_grader_table(console, summary), crop=False)
    done = [evaluation for evaluation in summary.evaluations if evaluation.figures]
    console.print(Padding(Text("headline accuracy", style="bold underline"), (1, 0, 0, 0)))
    if len(done) > LISTED:
        rest = f"{len(done) - LISTED} earlier evaluations; --json lists all"
        console.print(Text(rest, style="dim"))
    console.print(_accuracy_table(console, done[-LISTED:]), crop=False)
    shown = spread(flips, examples)
    if shown:
        heading = f"flipped verdicts: {len(shown)} of {count(len(flips))}"
        console.print(Padding(Rule(heading, align="left", style="dim"), (1, 0, 0, 0)))
    steps = _steps(summary)
    for change in shown:
        console.print(_change_view(change, steps[id(change)]))
    if len(flips) > len(shown):
        console.print(Text(f"--examples {len(flips)} shows every one", style="dim"))


def regrading_json(summary: RegradingSummary, examples: int) -> dict[str, Any]:
    """What changed as plain data; every flipped verdict is listed, the examples with texts."""
    steps = _steps(summary)
    flips = summary.flips
    texts = {id(change) for change in spread(flips, examples)}
    return {
        "run": summary.run.id,
        "run_uuid": summary.run.uuid,
        "responses": summary.responses,
        "graders": [asdict(row) for row in summary.changes],
        "flipped": len(flips),
        "flips": [
            _change_json(change, steps[id(change)], whole=id(change) in texts) for change in flips
        ],
        "evaluations": [
            {
                "evaluation": evaluation.evaluation.uuid,
                "step": evaluation.evaluation.step,
                "split": evaluation.evaluation.split,
                "responses": evaluation.responses,
                **evaluation.figures,
            }
            for evaluation in summary.evaluations
        ],
    }


def _grader_table(console: Console, summary: RegradingSummary) -> Any:
    rows = summary.changes

    def numbers(header: str, values: Sequence[int]) -> FitColumn:
        return FitColumn(header, [Text(count(value)) for value in values], 90, right=True)

    columns = [
        FitColumn("grader", [Text(row.grader, style="bold") for row in rows], 99),
        FitColumn("version", [Text(" to ".join(map(str, row.versions))) for row in rows], 80),
        numbers("new grades", [row.added for row in rows]),
        numbers("wrong to right", [row.gained for row in rows]),
        numbers("right to wrong", [row.lost for row in rows]),
        numbers("other class", [row.reclassified for row in rows]),
    ]
    return fitted_table(columns, console)


def _accuracy_table(console: Console, done: Sequence[RegradedEvaluation]) -> Any:
    def accuracy(evaluation: RegradedEvaluation, when: str) -> Text:
        return Text(percent(evaluation.figures[when].get(evaluation.figures["grader"])))

    columns = [
        FitColumn("step", [Text(str(e.evaluation.step)) for e in done], 99, right=True),
        FitColumn("split", [plain(e.evaluation.split) for e in done], 60),
        FitColumn("n", [Text(count(e.evaluation.n)) for e in done], 70, right=True),
        FitColumn("grader", [plain(e.figures["grader"]) for e in done], 80),
        FitColumn("before", [accuracy(e, "before") for e in done], 95, right=True),
        FitColumn("after", [accuracy(e, "after") for e in done], 96, right=True),
    ]
    return fitted_table(columns, console)


def _steps(summary: RegradingSummary) -> dict[int, int]:
    return {
        id(change): evaluation.evaluation.step
        for evaluation in summary.evaluations
        for change in evaluation.changes
    }


def _change_view(change: GradeChange, step: int) -> Padding:
    response = change.response
    grid = field_grid()
    where = f"step {step}, problem {response.problem_id}"
    where += f" sample {response.sample}" if response.sample else ""
    grid.add_row("response", plain(where, style="cyan"))
    grid.add_row("question", brief(response.question))
    grid.add_row("truth", brief(response.truth, style="green"))
    for title, grade in (("before", change.before), ("after", change.after)):
        grid.add_row(title, _verdict(change, grade))
    grid.add_row("text", response_text(response.text))
    return Padding(grid, (0, 0, 1, 2))


def _verdict(change: GradeChange, grade: StoredGrade) -> Text:
    style = "green" if grade.right else "red"
    said = "right" if grade.right else f"wrong, {grade.failure}"
    text = Text(f"{said}", style=style).append(f" by {change.grader} version {grade.version}: ")
    return text.append_text(
        Text("nothing", style="dim") if grade.extracted is None else brief(grade.extracted)
    )


def _change_json(change: GradeChange, step: int, *, whole: bool) -> dict[str, Any]:
    response = change.response
    return {
        "step": step,
        "problem": response.problem_id,
        "sample": response.sample,
        "truth": response.truth,
        "grader": change.grader,
        "before": asdict(change.before),
        "after": asdict(change.after),
        **({"question": response.question, "text": response.text} if whole else {}),
    }
