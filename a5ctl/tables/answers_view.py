"""Every response to one problem, on the screen and as plain data."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from a5ctl.console import plain
from a5ctl.format import count, iso
from a5ctl.tables.answers import JudgedAnswer, Question
from a5ctl.tables.fit import FitColumn, fitted_table
from a5ctl.tables.responses import answer_view, extracted_text, problem_lines, response_json
from core.registry.records import StoredGrade

LISTED = 40
"""Responses that a list shows before it says how many earlier ones there are."""
_ANSWER_CHARS = 24


def print_answers(console: Console, questions: Sequence[Question], examples: int) -> None:
    """Print one section per question.

    Args:
        console: Where to.
        questions: Usually one; several data sets may use the same id.
        examples: How many different texts to show of each, newest first.
    """
    if len(questions) > 1:
        note = f"{len(questions)} different questions have the id {questions[0].id}"
        console.print(plain(note, style="yellow"))
    for question in questions:
        _print_question(console, question, examples)


def answers_json(questions: Sequence[Question]) -> dict[str, Any]:
    """Everything as plain data, every response with its whole text and all grades."""
    return {
        "problem": questions[0].id,
        "questions": [
            {
                "question": question.question,
                "truth": question.truth,
                "responses": len(question.answers),
                "right": question.right,
                "runs": question.runs,
                "solved_by": question.solved_by,
                "answers": [_answer_json(answer) for answer in question.answers],
            }
            for question in questions
        ],
    }


def _print_question(console: Console, question: Question, examples: int) -> None:
    console.print(problem_lines(question.answers[0].answer.response))
    console.print(
        Text(
            f"{count(question.right)} of {count(len(question.answers))} responses are right; "
            f"{len(question.solved_by)} of {len(question.runs)} runs ever solved it",
            style="bold",
        )
    )
    hidden = len(question.answers) - LISTED
    if hidden > 0:
        console.print(Text(f"{count(hidden)} earlier responses; --json lists all", style="dim"))
    console.print(_table(console, question.answers[-LISTED:]), crop=False)
    texts = question.distinct
    shown = texts[:examples]
    if shown:
        title = f"different texts, newest first: {len(shown)} of {count(len(texts))}"
        console.print(Padding(Rule(title, align="left", style="dim"), (1, 0, 0, 0)))
    for judged, times in shown:
        title = f"{judged.answer.run_id} step {judged.answer.step}"
        title += f" (the same text {times} times)" if times > 1 else ""
        console.print(answer_view(judged.answer.response, judged.grade, title))
    if len(texts) > len(shown):
        console.print(Text(f"--examples {len(texts)} shows every text", style="dim"))


def _table(console: Console, answers: Sequence[JudgedAnswer]) -> Any:
    several = len({answer.grader for answer in answers}) > 1
    samples = any(answer.answer.response.sample for answer in answers)

    def column(header: str, cells: list[Text], importance: int, **options: Any) -> FitColumn:
        return FitColumn(header, cells, importance, **options)

    rows = [(a, a.answer, a.answer.response) for a in answers]
    columns = [
        column("run", [plain(where.run_id, "cyan") for _, where, _ in rows], 99),
        column("step", [plain(str(where.step)) for _, where, _ in rows], 98, right=True),
        column("verdict", [_verdict(judged.grade) for judged, _, _ in rows], 95),
        column("answer", [extracted_text(j.grade, _ANSWER_CHARS) for j, _, _ in rows], 90),
        column("class", [plain(j.grade.failure or "-") for j, _, _ in rows], 85),
        column("ended", [plain(r.finish) for _, _, r in rows], 60),
        column("tokens", [plain(count(r.tokens)) for _, _, r in rows], 65, right=True),
        column("split", [plain(where.split) for _, where, _ in rows], 50),
    ]
    if samples:
        sample = [plain(str(r.sample)) for _, _, r in rows]
        columns.insert(2, column("sample", sample, 97, right=True))
    if several:
        columns.append(column("grader", [plain(judged.grader) for judged, _, _ in rows], 80))
    return fitted_table(columns, console)


def _verdict(grade: StoredGrade) -> Text:
    return Text("right", style="green") if grade.right else Text("wrong", style="red")


def _answer_json(judged: JudgedAnswer) -> dict[str, Any]:
    where = judged.answer
    return {
        "run": where.run_id,
        "run_uuid": where.run_uuid,
        "step": where.step,
        "split": where.split,
        "time": iso(where.time),
        "grader": judged.grader,
        **response_json(where.response, judged.grade),
        "grades": {
            name: {"right": grade.right, "failure": grade.failure, "version": grade.version}
            for name, grade in sorted(where.response.grades.items())
        },
    }
