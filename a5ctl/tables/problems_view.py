"""Problems over the evaluations of a run, on the screen and as plain data."""

import shlex
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, percent
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.problems import Course, ProblemCourse, ProblemSurvey
from a5ctl.tables.steps import track_json
from a5ctl.tables.steps_view import evenly, track_title

LISTED = 12
"""Problems that a list shows before it says how many more there are."""
_PATTERN_CELLS = 30
_QUESTION_CHARS = 120
_MEANINGS = {
    Course.ALWAYS: "at every evaluation",
    Course.LEARNED: "wrong first, then right to the end",
    Course.FLIPPING: "changed more than once",
    Course.LOST: "right first, then wrong to the end",
    Course.NEVER: "at no evaluation of this run",
}


def print_problems(console: Console, survey: ProblemSurvey) -> None:
    """Print how many problems took which course, then those worth a look."""
    console.print(track_title(survey.track, "by problem"))
    if survey.samples > 1:
        note = f"up to {survey.samples} samples each: solved means that any of them is right"
        console.print(Text(note, style="dim"))
    total = len(survey.problems)
    for course, meaning in _MEANINGS.items():
        n = survey.counts[course]
        line = Text(f"{course:<14}{count(n):>7}{percent(n / total):>9}   ")
        console.print(line.append(meaning, style="dim"))
    runs = len({run for problem in survey.problems for run in problem.runs})
    others = f"{runs} runs asked them" if runs > 1 else "this is the only run that asked them"
    _list(console, f"no run ever solves these ({others})", survey.unsolved)
    _list(console, "only other runs solve these", survey.solved_elsewhere)
    _list(console, "these flip", survey.of_course(Course.FLIPPING))
    _list(console, "these were lost", survey.of_course(Course.LOST))
    _next(console, survey)


def problems_json(survey: ProblemSurvey) -> dict[str, Any]:
    """Every problem as plain data, in the order asked."""
    return {
        **track_json(survey.track),
        "samples": survey.samples,
        "counts": {course: survey.counts[course] for course in Course},
        "unsolved_by_any_run": [problem.problem.id for problem in survey.unsolved],
        "problems": [_problem_json(problem) for problem in survey.problems],
    }


def pattern(shares: Sequence[float | None]) -> str:
    """One character per evaluation: all samples right, some, none, or not asked."""
    return "".join(
        " " if share is None else "█" if share == 1 else "▄" if share else "·" for share in shares
    )


def _list(console: Console, title: str, found: Sequence[ProblemCourse]) -> None:
    if not found:
        return
    heading = Text(f"{title}: {count(len(found))}", style="bold underline")
    console.print(Padding(heading, (1, 0, 0, 0)))
    shown = found[:LISTED]
    columns = [
        FitColumn("problem", [plain(p.problem.id, "cyan") for p in shown], 99, elastic=16),
        FitColumn("steps", [_pattern(p) for p in shown], 90),
        FitColumn("flips", [plain(str(p.flips or "-")) for p in shown], 80, right=True),
        FitColumn("runs solving", [_solved_by(p) for p in shown], 85, right=True),
        FitColumn("last class", [plain(p.failure or "-") for p in shown], 75),
        FitColumn("truth", [plain(p.problem.truth) for p in shown], 70, elastic=8),
        FitColumn("question", [_question(p) for p in shown], 60, elastic=20),
    ]
    console.print(fitted_table(columns, console), crop=False)
    if len(found) > LISTED:
        rest = f"and {count(len(found) - LISTED)} more; --json lists all"
        console.print(Text(rest, style="dim"))


def _next(console: Console, survey: ProblemSurvey) -> None:
    first = [*survey.unsolved, *survey.of_course(Course.FLIPPING), *survey.problems][0]
    console.print(Padding(Text("every stored response to one problem:", style="dim"), (1, 0, 0, 0)))
    command = f"a5ctl diagnose --problem {_quoted(first.problem.id)}"
    console.print(Text("  ").append_text(plain(command, style="cyan")), soft_wrap=True)


def _quoted(text: str) -> str:
    return shlex.quote(text)


def _pattern(problem: ProblemCourse) -> Text:
    if problem.course is Course.NEVER:
        return Text("-")  # nothing but dots
    chosen = evenly(len(problem.solved), _PATTERN_CELLS)
    return Text(pattern([problem.solved[index] for index in chosen]))


def _solved_by(problem: ProblemCourse) -> Text:
    runs, solved = len(problem.runs), len(problem.solved_by)
    return Text(f"{solved} of {runs}" if runs else "-")


def _question(problem: ProblemCourse) -> Text:
    return plain(
        " ".join(problem.problem.question[: 2 * _QUESTION_CHARS].split())[:_QUESTION_CHARS]
    )


def _problem_json(problem: ProblemCourse) -> dict[str, Any]:
    return {
        "problem": problem.problem.id,
        "question": problem.problem.question,
        "truth": problem.problem.truth,
        "course": problem.course,
        "flips": problem.flips,
        "solved": problem.solved,
        "failure": problem.failure,
        "runs": sorted(problem.runs),
        "solved_by": sorted(problem.solved_by),
    }
