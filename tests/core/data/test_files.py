"""Jsonl files: GSM8K lines, prompt/response pairs, and what is wrong with a broken line."""

import json
from pathlib import Path

import pytest

from core.data.files import read_problems
from core.errors import UserError


def written(folder: Path, *lines: object) -> Path:
    path = folder / "data.jsonl"
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_gsm8k_loses_its_calculator_marks_and_keeps_its_truth(tmp_path: Path) -> None:
    line = {"question": " Q? ", "answer": "He has 2*3=<<2*3=6>>6 eggs.\nSo $1,006.\n#### 1,006"}
    (problem,) = read_problems(written(tmp_path, line), "d")
    assert problem.question == "Q?"
    assert problem.truth == "1006"
    assert problem.reasoning == "He has 2*3=6 eggs.\nSo $1,006."
    assert problem.id == "d-00000"


def test_pairs_bring_their_own_prompt_and_target(tmp_path: Path) -> None:
    pair = {"prompt": "P <think>", "response": " r </think> <answer> 5 </answer>"}
    named = {**pair, "ground_truth": "7"}
    solved = {**pair, "answer": "work #### 9"}
    first, second, third = read_problems(written(tmp_path, pair, named, solved), "d")
    assert (first.prompt, first.target, first.truth) == (pair["prompt"], pair["response"], "5")
    assert (second.truth, third.truth) == ("7", "9")


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    line = {"question": "Q", "answer": "a #### 1"}
    assert len(read_problems(written(tmp_path, line, "", "  ", line), "d")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ({"question": "Q"}, "needs the fields question and answer"),
        ({"question": "Q", "answer": "no mark"}, "no truth after"),
        ({"question": "Q", "answer": "x ####  "}, "no truth after"),
        ({"question": 3, "answer": "x #### 1"}, "'question' must be a text"),
        ({"prompt": "P", "response": "never closes"}, "no truth found"),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(
    tmp_path: Path, line: object, message: str
) -> None:
    good = {"question": "Q", "answer": "a #### 1"}
    with pytest.raises(UserError, match=rf"data\.jsonl:2: .*{message}"):
        read_problems(written(tmp_path, good, line), "d")


def test_bytes_that_are_not_text_are_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_bytes(b'{"question": "\xff"}')
    with pytest.raises(UserError, match=r"data\.jsonl:1: "):
        read_problems(path, "d")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no problems"):
        read_problems(written(tmp_path, ""), "d")
