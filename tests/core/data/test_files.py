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


def test_math_lines_take_their_truth_from_the_last_box(tmp_path: Path) -> None:
    solution = "We add: $\\boxed{1}$ and so $\\boxed{\\frac{1}{2}}$. "
    line = {"problem": " P? ", "level": "Level 5", "type": "Algebra", "solution": solution}
    (problem,) = read_problems(written(tmp_path, line), "d")
    assert (problem.question, problem.truth) == ("P?", "\\frac{1}{2}")
    assert problem.reasoning == solution.strip()


def test_an_answer_of_its_own_wins_over_the_box(tmp_path: Path) -> None:
    line = {
        "problem": "P?",
        "solution": "$\\boxed{x=3}$",
        "answer": "3",
        "subject": "Algebra",
        "level": 2,
        "unique_id": "test/algebra/1.json",
    }
    question = {"question": "Q?", "answer": " \\sqrt{2} "}
    number = {"question": "Q?", "answer": 12.0}
    worked = {"question": "Q?", "answer": "It is\n$\\boxed{7}$."}
    first, second, third, fourth = read_problems(
        written(tmp_path, line, question, number, worked), "d"
    )
    assert (first.truth, first.reasoning) == ("3", "$\\boxed{x=3}$")
    assert (second.truth, second.reasoning) == ("\\sqrt{2}", None)
    assert third.truth == "12"
    assert (fourth.truth, fourth.reasoning) == ("7", worked["answer"])


def test_options_in_a_list_become_lines_and_a_letter(tmp_path: Path) -> None:
    line = {"question": "Q?", "choices": ["w", "x", "y", 4], "answer": 2, "subject": "s"}
    first, second = read_problems(written(tmp_path, line, {**line, "answer": "D"}), "d")
    assert (first.question, first.truth) == ("Q?\nA. w\nB. x\nC. y\nD. 4", "C")
    assert second.truth == "D"


def test_blank_lines_are_skipped(tmp_path: Path) -> None:
    line = {"question": "Q", "answer": "a #### 1"}
    assert len(read_problems(written(tmp_path, line, "", "  ", line), "d")) == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{not json", "not valid JSON"),
        ("[1]", "not a JSON object"),
        ({"question": "Q"}, "needs the fields question and answer"),
        ({"q": "Q", "answer": "1"}, "this one has 'q', 'answer'"),
        ({"question": "Q", "answer": "no mark"}, "no truth after"),
        ({"question": "Q", "answer": "x ####  "}, "no truth after"),
        ({"question": 3, "answer": "x #### 1"}, "'question' must be a text"),
        ({"problem": "Q", "solution": "no box"}, "the solution has no .boxed"),
        ({"problem": "Q", "solution": "s", "answer": []}, "'answer' must be a text"),
        ({"problem": "Q", "solution": "s", "answer": "two\nlines"}, "does not say which part"),
        ({"problem": "Q", "solution": "s", "answer": "x" * 201}, "does not say which part"),
        ({"problem": "Q", "solution": 5}, "'solution' must be a text"),
        ({"question": "Q", "choices": ["a", "b"], "answer": 0}, "must be a list of 4 texts"),
        ({"question": "Q", "choices": list("wxyz"), "answer": 4}, "the answer is '4'"),
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
