"""Data besides GSM8K from the command line: MATH lines, MMLU tables, and what they cannot do."""

import json
from pathlib import Path

import pytest

from core.registry.records import EvaluationRecord
from core.responses.names import GraderName
from tests.a5ctl import handmade
from tests.a5ctl.conftest import House

CHOICE = GraderName.MULTIPLE_CHOICE


def write_math(path: Path, count: int) -> Path:
    """MATH lines whose results are fractions."""
    lines = [
        {
            "problem": f"What is ${i + 1} / {i + 2}$?",
            "level": "Level 1",
            "type": "Prealgebra",
            "solution": f"We divide: $\\boxed{{\\frac{{{i + 1}}}{{{i + 2}}}}}$.",
        }
        for i in range(count)
    ]
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


def write_choices(path: Path, count: int) -> Path:
    """MMLU rows whose right option is B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"What is {i} + 1?,{i},{i + 1},{i + 2},none of them,B" for i in range(count)]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def last(house: House, run: str) -> tuple[EvaluationRecord, list]:
    store = handmade.open_home(house.home)
    found = max(store.evaluations([store.find_run(run).uuid]), key=lambda e: e.step)
    return found, store.responses(found.uuid)


def evaluated(house: House, *options: str) -> tuple[EvaluationRecord, list]:
    common = ("--model", str(house.model), "--engine", "hf", "--max-tokens", "8", "--quiet")
    (outcome,) = house.json("run", "eval", *common, *options)
    return last(house, outcome["run"])


@pytest.mark.slow
def test_math_lines_are_evaluated_by_boxed_answers(house: House, tmp_path: Path) -> None:
    path = write_math(tmp_path / "math.jsonl", 3)
    found, responses = evaluated(house, "--data", str(path), "--prompt", "question_only")
    assert (found.n, found.grader, found.numeric) == (3, "question_only", 3)
    assert [r.truth for r in responses] == [f"\\frac{{{i + 1}}}{{{i + 2}}}" for i in range(3)]
    assert CHOICE not in found.accuracy_by_grader


@pytest.mark.slow
def test_math_solutions_are_trained_on_with_tags(house: House, tmp_path: Path) -> None:
    path = write_math(tmp_path / "math.jsonl", 20)
    run = house.sft("--data", str(path), "--steps", "1")
    found, _ = last(house, run)
    assert (found.n, found.grader) == (2, "r1_zero")
    store = handmade.open_home(house.home)
    messages = {e.kind: e.message for e in store.events(store.find_run(run).uuid)}
    assert "accepts all 8 training targets" in messages["preflight.targets"]
    assert "every target reaches the stop string" in messages["preflight.stop"]


@pytest.mark.slow
def test_mmlu_tables_are_evaluated_by_letters(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "mmlu"
    write_choices(folder / "test" / "arithmetic_test.csv", 3)
    write_choices(folder / "val" / "arithmetic_val.csv", 2)
    options = ("--data", str(folder), "--prompt", "multiple_choice")
    found, responses = evaluated(house, *options)
    assert (found.n, found.grader, found.split, found.numeric) == (3, CHOICE, "test", 0)
    assert responses[1].problem_id == "mmlu-test-arithmetic-00001"
    assert responses[1].question.endswith("A. 1\nB. 2\nC. 3\nD. none of them")
    assert all(CHOICE in r.grades for r in responses)
    assert evaluated(house, *options, "--split", "val")[0].n == 2
    diagnosis = house.json("diagnose", handmade.open_home(house.home).runs()[0].id)
    assert diagnosis["grader"] == CHOICE
    assert not any("run sft" in advice["command"] for advice in diagnosis["verdict"]["advice"])


@pytest.mark.slow
def test_a_tagged_model_is_asked_for_letters_in_its_own_format(
    house: House, tmp_path: Path
) -> None:
    table = write_choices(tmp_path / "arithmetic_test.csv", 2)
    run = house.sft("--steps", "1", "--eval-data", str(write_choices_folder(tmp_path)))
    found, _ = last(house, run)
    assert (found.grader, found.protocol["prompt_name"]) == (CHOICE, "think_answer")
    store = handmade.open_home(house.home)
    messages = [e.message for e in store.events(store.find_run(run).uuid)]
    assert any("the r1_zero grader accepts all 8 training targets" in m for m in messages)
    (outcome,) = house.json(
        *("run", "eval", "--run", run, "--data", str(table), "--prompt", "multiple_choice", "-q")
    )
    asked, _ = last(house, outcome["run"])
    assert (asked.grader, asked.protocol["stop"]) == (CHOICE, [])


def write_choices_folder(folder: Path) -> Path:
    write_choices(folder / "mmlu" / "test" / "arithmetic_test.csv", 2)
    return folder / "mmlu"


@pytest.mark.slow
def test_letters_are_graded_again_and_exported_like_other_answers(
    house: House, tmp_path: Path
) -> None:
    table = write_choices(tmp_path / "arithmetic_test.csv", 2)
    evaluated(house, "--data", str(table))
    run = handmade.open_home(house.home).runs()[0].id
    assert "nothing to do" in house.run("regrade", run).output
    out = tmp_path / "out.jsonl"
    assert house.run("export", "responses", run, "--out", str(out)).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    for row in rows:
        row["response"] = " The answer is B."
    out.write_text("\n".join(map(json.dumps, rows)))
    graded = house.json("grade", str(out), "--grader", CHOICE)
    assert graded["accuracy"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "sft", "--data", "{table}"), "is multiple choice, which is only evaluated on"),
        (("run", "eval", "--data", "{math}", "--grader", CHOICE), "problem math-00000 shows none"),
        (("run", "eval", "--data", "{table}", "--split", "train"), "has no split 'train'"),
        (("grade", "{dump}", "--grader", CHOICE), "dump.jsonl:1: grader multiple_choice reads"),
        (("run", "eval", "--data", "{short}"), "short_test.csv:1: the row has 4 columns"),
        (("run", "eval", "--data", "{text}"), "words.txt:1: the line is not valid JSON"),
        (("run", "eval", "--data", "{empty}"), "has no test.jsonl; put"),
    ],
)
def test_what_does_not_fit_is_one_sentence(
    house: House, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "short_test.csv").write_text("What?,a,b,c\n")
    (tmp_path / "words.txt").write_text("What is this?\n")
    (tmp_path / "dump.jsonl").write_text('{"question": "1+1", "response": "2", "answer": "2"}\n')
    places = {
        "table": write_choices(tmp_path / "arithmetic_test.csv", 2),
        "math": write_math(tmp_path / "math.jsonl", 2),
        "dump": tmp_path / "dump.jsonl",
        "short": tmp_path / "short_test.csv",
        "text": tmp_path / "words.txt",
        "empty": tmp_path / "empty",
    }
    typed = [argument.format(**places) for argument in arguments]
    model = ("--model", str(house.model)) if typed[0] == "run" else ()
    result = house.run(*typed, *model)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.replace("-\n", "-").split()), result.output
    assert "Traceback" not in result.output


@pytest.mark.slow
def test_a_grader_that_never_judged_a_run_is_named(house: House, tmp_path: Path) -> None:
    handmade.record(tmp_path, "sft-2-aaaa", [handmade.evaluation([handmade.right(10)])])
    other = House(tmp_path, tmp_path, tmp_path)
    for command in ("compare", "regrade", "diagnose"):
        result = other.run(command, "sft-2-aaaa", "--grader", CHOICE)
        assert result.exit_code == 2, result.output
        assert "multiple_choice" in result.output
        assert "Traceback" not in result.output
