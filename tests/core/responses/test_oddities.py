"""The tables of docs/grading.md, row by row: what `r1_zero` rewards and refuses."""

import re
from pathlib import Path

import pytest

from core.engines.base import FinishReason
from core.prompts.template import load_prompt
from core.responses.grade import GraderName, GradingItem, grade_responses

DOCUMENT = Path(__file__).parents[3] / "docs" / "grading.md"
PLACEHOLDERS = load_prompt("think_answer").placeholders
GRADERS = (GraderName.R1_ZERO, GraderName.STRICT, GraderName.LENIENT)


def rows() -> list[tuple[str, str, tuple[str, ...]]]:
    """(response, truth, outcome under each of `GRADERS`) of every row."""
    found, kind = [], None
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells or set(cells[0]) == {"-"}:
            kind = kind if cells else None
        elif cells[0] in ("answer", "response"):
            kind = cells[0]
        elif kind is not None:
            text, truth = (re.fullmatch(r"`(.*)`", cell)[1] for cell in cells[:2])
            found.append((_response(kind, text), truth, tuple(cells[2:5])))
    return found


def _response(kind: str, text: str) -> str:
    if kind == "answer":
        return f" 3 + 4 = 7 </think> <answer> {text} </answer>"
    return text.replace("⏎", "\n")


ROWS = rows()


@pytest.mark.parametrize(("response", "truth", "outcomes"), ROWS, ids=[row[0] for row in ROWS])
def test_row_of_the_documented_tables(response: str, truth: str, outcomes: tuple[str, ...]):
    item = GradingItem(response, truth, FinishReason.EOS, PLACEHOLDERS)
    (graded,) = grade_responses([item], time_limit_s=60)
    assert tuple(graded.failures[grader] or "right" for grader in GRADERS) == outcomes


def test_the_tables_hold_what_the_definition_names():
    documented = {(response, outcomes[0]) for response, _, outcomes in ROWS}
    assert (" 3 + 4 = 7 </think> <answer> 7 apples </answer>", "right") in documented
    assert (
        " 3 + 4 = 7 </think> <answer> 7 dollars </answer>",
        "right_number_refused",
    ) in documented
    assert len(ROWS) >= 50
    assert sum(outcomes[0] == "right" != outcomes[1] for _, _, outcomes in ROWS) >= 10
