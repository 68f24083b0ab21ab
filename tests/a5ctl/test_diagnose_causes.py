import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from a5ctl.app import app
from tests.a5ctl import handmade
from tests.a5ctl.handmade import bad_separator, evaluation, right, unclosed, wrong

N = 60


def ask(*arguments: str, width: int = 100) -> Result:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": str(width), "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result


def document(*arguments: str) -> dict:
    return json.loads(ask(*arguments, "--json").stdout, parse_constant=pytest.fail)


def mostly(kind, count: int = N):
    """Two of three responses of a kind, the others right."""
    return evaluation([(right, kind, kind)[i % 3](10 + i) for i in range(count)])


def half_right():
    return evaluation([(right, wrong)[i % 2](10 + i) for i in range(N)])


def answers(share: float, step: int):
    kinds = [right if i < share * 200 else wrong for i in range(200)]
    return evaluation([kind(10 + i) for i, kind in enumerate(kinds)], step=step)


@pytest.fixture
def cliff(tmp_path: Path) -> Path:
    """The settings of one group but for the size; more data never closes its answers."""
    handmade.record(tmp_path, "sft-128-good", [half_right()], size=128, group="cliff", seed=0)
    handmade.record(tmp_path, "sft-2048-open", [mostly(unclosed)], size=2048, group="cliff", seed=0)
    worst = evaluation([unclosed(10 + i) for i in range(N)])
    handmade.record(tmp_path, "sft-8192-open", [worst], size=None, group="cliff", seed=0)
    return tmp_path


@pytest.mark.slow
def test_causes_are_plain_data_with_what_to_try(cliff: Path):
    found = document("diagnose", "sft-2048-open", "--home", str(cliff))["causes"]
    (cause,) = found
    assert cause == {
        "cause": "never_closes",
        "count": 40,
        "share": pytest.approx(2 / 3),
        "evidence": cause["evidence"],
        "command": "a5ctl probe sft-2048-open --close",
    }
    assert cause["evidence"].startswith("40 of 60 open an answer and never close it")


@pytest.mark.slow
def test_a_working_model_has_no_causes(cliff: Path):
    found = document("diagnose", "sft-128-good", "--home", str(cliff))
    assert found["causes"] == []
    text = ask("diagnose", "sft-128-good", "--home", str(cliff)).stdout
    assert "No cause stands out: this is what a working model leaves over." in " ".join(
        text.split()
    )
    assert "causes\n" not in text


@pytest.mark.slow
def test_a_smaller_sibling_that_does_far_better_is_named(cliff: Path):
    found = document("diagnose", "sft-8192-open", "--home", str(cliff))["causes"]
    assert [cause["cause"] for cause in found] == ["never_closes", "falls_with_size"]
    fall = found[1]
    assert fall["command"] == "a5ctl diagnose sft-8192-open --against sft-128-good"
    assert "trained on all problems it gets 0.0%, sft-128-good on 128 got 50.0%" in fall["evidence"]
    assert fall["count"] == N // 2


def test_other_settings_are_no_size(tmp_path: Path):
    worst = evaluation([unclosed(10 + i) for i in range(N)])
    handmade.record(tmp_path, "sft-128-good", [half_right()], size=128, lr=1e-3)
    handmade.record(tmp_path, "sft-512-open", [worst], size=512, lr=1e-4)
    found = document("diagnose", "sft-512-open", "--home", str(tmp_path))["causes"]
    assert [cause["cause"] for cause in found] == ["never_closes"]


@pytest.mark.slow
def test_a_sweep_in_one_group_is_no_curve_over_sizes(tmp_path: Path):
    worst = evaluation([unclosed(10 + i) for i in range(N)])
    handmade.record(tmp_path, "sft-128-good", [half_right()], size=128, lr=1e-3, group="g")
    handmade.record(tmp_path, "sft-512-open", [worst], size=512, lr=1e-4, group="g")
    home = str(tmp_path)
    found = document("diagnose", "sft-512-open", "--home", home)["causes"]
    assert "they also differ in train.lr" in found[1]["evidence"]
    handmade.record(tmp_path, "sft-512-good", [half_right()], size=512, lr=1e-3, group="g")
    found = document("diagnose", "sft-512-open", "--home", home)["causes"]
    assert [cause["cause"] for cause in found] == ["never_closes"]


@pytest.mark.slow
def test_the_first_evaluation_speaks_against_math_that_was_lost(tmp_path: Path):
    handmade.record(tmp_path, "sft-lost", [answers(0.6, 0), answers(0.36, 10)])
    (cause,) = document("diagnose", "sft-lost", "--home", str(tmp_path))["causes"]
    assert cause["cause"] == "wrong_math"
    assert "60.0% were right before (sft-lost step 0), 36.0% are now" in cause["evidence"]
    assert cause["command"] == "a5ctl diagnose sft-lost --against sft-lost:0"
    handmade.record(tmp_path, "sft-same", [answers(0.36, 0), answers(0.36, 10)])
    assert document("diagnose", "sft-same", "--home", str(tmp_path))["causes"] == []


def test_what_a_run_started_from_speaks_against_math_that_was_lost(tmp_path: Path):
    start = handmade.record(tmp_path, "sft-good", [answers(0.2, 5), answers(0.6, 10)])
    taken = {"run_step": 10}
    handmade.record(
        tmp_path, "grpo-lost", [answers(0.01, 4)], kind="grpo", parent=start, model=taken
    )
    found = document("diagnose", "grpo-lost", "--home", str(tmp_path))
    (cause,) = found["causes"]
    assert "60.0% were right before (sft-good step 10), 1.0% are now" in cause["evidence"]
    assert cause["command"] == "a5ctl diagnose grpo-lost --against sft-good:10"
    text = " ".join(ask("diagnose", "grpo-lost", "--home", str(tmp_path)).stdout.split())
    assert "look at its rate, its rewards and its alarms" in text
    assert "train longer" not in text


@pytest.mark.slow
def test_counterfactuals_are_a_table(cliff: Path):
    found = document("diagnose", "sft-2048-open", "--home", str(cliff))["counterfactuals"]
    assert {row["name"]: row["low"] for row in found} == {
        "as_it_is": pytest.approx(1 / 3),
        "all_lenient": pytest.approx(1.0),
        "mended_unclosed_answer": pytest.approx(1.0),
    }
    lines = [
        line.split()
        for line in ask("diagnose", "sft-2048-open", "--home", str(cliff)).stdout.splitlines()
    ]
    assert ["as", "it", "is", "33.3%"] in lines
    assert ["unclosed_answer", "mended", "100.0%", "+66.7"] in lines


def test_a_dump_is_told_its_causes(tmp_path: Path):
    rows = mostly(bad_separator).responses
    lines = [
        json.dumps({"prompt": f"How many is {i}?", "response": row.text, "answer": str(10 + i)})
        for i, row in enumerate(rows)
    ]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    (cause,) = document("grade", str(path), "--home", str(tmp_path))["causes"]
    assert cause["cause"] == "wrong_separator"
    assert cause["command"] == f"a5ctl grade {path} --grader lenient"
    assert "wrong_separator  40 (66.7%)" in ask("grade", str(path)).stdout


@pytest.mark.slow
@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_overview_fits_the_terminal_and_comes_first(cliff: Path, width: int):
    text = ask("diagnose", "sft-8192-open", "--home", str(cliff), width=width).stdout
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("  a5ctl")) <= width
    order = ["causes", "what the accuracy would be", "failures by class", "try "]
    places = [next(i for i, line in enumerate(lines) if line.startswith(o)) for o in order]
    assert places == sorted(places)
    assert len(lines) < 50


@pytest.mark.slow
@pytest.mark.parametrize("other", ["--class=unclosed_answer", "--against=sft-128-good"])
def test_the_whole_diagnosis_is_not_a_part_of_it(cliff: Path, other: str):
    result = CliRunner().invoke(
        app, ["diagnose", "sft-2048-open", "--full", other, "--home", str(cliff)]
    )
    assert result.exit_code == 2
    assert "--full belongs to the whole diagnosis" in " ".join(result.stderr.split())
