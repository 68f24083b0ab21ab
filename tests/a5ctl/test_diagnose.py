import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from a5ctl.app import app
from a5ctl.tables.histograms import blocks, length_contrasts
from a5ctl.tables.responses import shortened, spread
from core.engines.base import FinishReason
from core.responses.names import FailureClass, GraderName
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document, shown
from tests.a5ctl.diagnosed import LAST
from tests.a5ctl.handmade import bad_separator, cut, evaluation, right, unclosed, wrong


@pytest.fixture
def home(diagnosed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(diagnosed, tmp_path / "home"))


def test_the_last_evaluation_is_put_into_words(home: Path):
    text = " ".join(shown(home, "diagnose", "sft-256-aaaa").split())
    assert "sft-256-aaaa step 10 test of handmade n 7" in text
    assert "accuracy 28.6% [8.2, 64.1] under r1_zero" in text
    assert "strict 28.6% lenient 71.4% diagnostic 71.4%" in text
    assert "type1 2 (28.6%) type2 1 (14.3%) type3 4 (57.1%)" in text
    assert "unclosed 4 (57.1%) unparseable 0 (0.0%) capped 1 (14.3%)" in text
    assert "It fails the format, not the math." in text
    assert "5 of 7 responses are wrong (71.4%)." in text
    assert "4 never complete an answer, 1 of them at the length cap." in text
    assert "3 hold the right number last." in text


def test_classes_add_up_to_the_failures(home: Path):
    found = document(home, "diagnose", "sft-256-aaaa")
    assert {row["class"]: row["count"] for row in found["classes"]} == {
        "unclosed_answer": 3,
        "wrong_number": 1,
        "truncated_thinking": 1,
    }
    assert sum(row["count"] for row in found["classes"]) == found["failures"] == 5
    assert sum(cell["count"] for cell in found["format_and_math"]) == 5
    assert found["type1"] + found["type2"] + found["type3"] == found["n"] == 7
    unclosed_row = found["classes"][0]
    assert unclosed_row["accuracy_if_by_last_number"] == pytest.approx(5 / 7)
    assert unclosed_row["of_failures"] == pytest.approx(3 / 5)


def test_a_class_line_says_what_the_class_means(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", width=140)
    (line,) = [line for line in text.splitlines() if line.startswith("unclosed_answer  ")]
    assert line.split()[:4] == ["unclosed_answer", "3", "42.9%", "60.0%"]
    assert line.endswith("it ended by itself inside the answer, without </answer>")


def test_format_and_math_are_a_table(home: Path):
    lines = [
        line.split() for line in shown(home, "diagnose", "sft-256-aaaa", "--full").splitlines()
    ]
    assert ["format", "ok", "0", "1", "0", "1"] in lines
    assert ["format", "not", "ok", "3", "0", "1", "4"] in lines
    assert ["all", "3", "1", "1", "5"] in lines


def test_lengths_are_contrasted_over_shared_bins(home: Path):
    response, think, answer = document(home, "diagnose", "sft-256-aaaa")["lengths"]
    assert response["right"]["n"] == sum(response["right_counts"]) == 2
    assert response["wrong"]["n"] == sum(response["wrong_counts"]) == 5
    assert len(response["right_counts"]) == len(response["wrong_counts"])
    assert len(response["edges"]) == len(response["right_counts"]) + 1
    assert think["wrong"]["n"] == answer["wrong"]["n"] == 4
    assert "lengths in tokens" in shown(home, "diagnose", "sft-256-aaaa", "--full")
    assert "lengths in tokens" not in shown(home, "diagnose", "sft-256-aaaa")


def test_every_bin_that_holds_something_shows():
    assert blocks([0, 1, 100]) == "·▁█"
    assert blocks([]) == ""
    assert length_contrasts([], [])[0].edges == ()


def test_a_step_is_chosen(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", "--step", "0")
    assert "step 0  test" in text
    assert "14.3%" in text
    assert "a5ctl diagnose sft-256-aaaa --step 0 --class" in text


def test_an_unknown_step_names_those_there_are(home: Path):
    result = ask(home, "diagnose", "sft-256-aaaa", "--step", "7")
    assert result.exit_code == 2
    assert "no evaluation of step 7; it has 0, 10" in result.stderr


def test_a_run_without_evaluations_says_so(home: Path):
    handmade.record(home, "sft-128-nnnn", [])
    result = ask(home, "diagnose", "sft-128-nnnn")
    assert result.exit_code == 2
    assert "run sft-128-nnnn has no evaluation to diagnose yet" in " ".join(result.stderr.split())


def test_an_unknown_run_is_bad_input(home: Path):
    assert ask(home, "diagnose", "sft-999-zzzz").exit_code == 2


def test_one_class_alone(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", "--class", "wrong_number")
    assert "wrong_number: 1 of 1" in text
    assert "unclosed_answer:" not in text
    assert [
        row["class"]
        for row in document(home, "diagnose", "sft-256-aaaa", "--class", "wrong_number")["classes"]
    ] == ["wrong_number"]


def test_a_class_that_does_not_occur_is_no_error(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", "--class", "grader_timeout")
    assert "nothing failed as grader_timeout" in text
    assert document(home, "diagnose", "sft-256-aaaa", "--class", "grader_timeout")["classes"] == []


def test_an_unknown_class_names_the_classes(home: Path):
    result = ask(home, "diagnose", "sft-256-aaaa", "--class", "bad_luck")
    assert result.exit_code == 2
    assert all(name in result.stderr.replace("\n", "") for name in FailureClass)


def test_an_unknown_grader_names_the_graders(home: Path):
    result = ask(home, "diagnose", "sft-256-aaaa", "--grader", "kind")
    assert result.exit_code == 2
    assert all(name in result.stderr.replace("\n", "") for name in GraderName)


def test_examples_show_question_truth_answer_and_text(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", "--class", "wrong_number", "--examples", "1")
    assert "How many is 2 + 10?" in text
    words = [line.split() for line in text.splitlines()]
    assert ["truth", "12"] in words
    assert ["extracted", "13"] in words
    assert "so it is 13 </think> <answer> 13 </answer>" in text
    assert "stop_string, 8 tokens, think 4, <answer> at 5" in text


def test_without_an_answer_the_last_number_is_shown(home: Path):
    text = shown(home, "diagnose", "sft-256-aaaa", "--class", "unclosed_answer", "--examples", "1")
    assert "nothing; last number 14" in text


def test_examples_are_counted_out_and_can_be_none(home: Path):
    assert "unclosed_answer: 2 of 3" in shown(home, "diagnose", "sft-256-aaaa", "--examples", "2")
    assert "wrong_number: 1 of 1" in shown(
        home, "diagnose", "sft-256-aaaa", "--class", "wrong_number"
    )
    text = shown(home, "diagnose", "sft-256-aaaa")
    assert "question" not in text
    assert all(
        row["examples"] == []
        for row in document(home, "diagnose", "sft-256-aaaa", "--examples", "0")["classes"]
    )
    assert ask(home, "diagnose", "sft-256-aaaa", "--examples", "-1").exit_code == 2


def test_examples_are_spread_over_the_set():
    assert spread(list(range(100)), 3) == [16, 50, 83]
    assert spread([1, 2], 3) == [1, 2]
    assert spread([], 3) == spread([1], 0) == []


def test_a_long_response_loses_its_middle_and_says_how_much(tmp_path: Path):
    text = f"START {'pad ' * 1000}</think> <answer> 11 </answer>"
    handmade.record(tmp_path, "r-long", [evaluation([(text, FinishReason.STOP_STRING)])])
    out = shown(tmp_path, "diagnose", "r-long", "--examples", "1")
    head, tail = shortened(text, 900, 16)
    assert f"[... {tail - head:,} characters left out ...]" in out.replace("\n            ", " ")
    assert "START" in out
    assert "</think> <answer> 11 </answer>" in out
    assert document(tmp_path, "diagnose", "r-long")["classes"][0]["examples"][0]["text"] == text


def test_many_lines_are_shortened_too():
    text = "a\n" * 100
    head, tail = shortened(text, 900, 16)
    assert text[:head].count("\n") + text[tail:].count("\n") < 16
    assert shortened("short", 900, 16) == (5, 5)


def test_another_grader_judges(tmp_path: Path):
    handmade.record(tmp_path, "r-graders", [evaluation(LAST)])
    found = document(tmp_path, "diagnose", "r-graders", "--grader", "lenient")
    assert found["accuracy"] == found["accuracy_by_grader"]["lenient"] == pytest.approx(5 / 7)
    assert found["failures"] == 2
    assert "--grader lenient --class" in shown(
        tmp_path, "diagnose", "r-graders", "--grader", "lenient"
    )


def test_nothing_failed(tmp_path: Path):
    handmade.record(tmp_path, "r-best", [evaluation([right(10), right(11)])])
    text = shown(tmp_path, "diagnose", "r-best")
    assert "Nothing failed." in text
    assert "failures by class" not in text
    assert document(tmp_path, "diagnose", "r-best")["failures"] == 0


HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] [/] \u202egnp\u2066 \x9b2J \u200b\r"


@pytest.mark.parametrize(
    "extra", [("--full", "--examples", "1"), ("--against", "r-mild"), ("--json",)]
)
def test_hostile_text_never_reaches_the_terminal_raw(tmp_path: Path, extra: tuple[str, ...]):
    answer = (f"{HOSTILE}</think> <answer> {HOSTILE} </answer>", FinishReason.STOP_STRING)
    question = {0: f"What is {HOSTILE}?"}
    handmade.record(tmp_path, "r-hostile", [evaluation([answer], questions=question)])
    handmade.record(tmp_path, "r-mild", [evaluation([right(10)], questions=question)])
    out = shown(tmp_path, "diagnose", "r-hostile", *extra)
    assert not set(out) & set("\x1b\x07\u202e\u2066\x9b\u200b\r")
    assert "[bold]markup[/bold] [/]" in out.replace("\n            ", " ")
    if "--json" in extra:
        (row,) = json.loads(out)["classes"]
        assert row["examples"][0]["text"] == answer[0]
    else:
        assert "\\x1b[31mred" in out


def test_tags_are_coloured_where_colour_is_wanted():
    from rich.console import Console

    from a5ctl.tables.responses import response_text

    console = Console(width=100, force_terminal=True, color_system="standard", no_color=False)
    with console.capture() as capture:
        console.print(response_text("think </think> <answer> 4 </answer> after"))
    assert "\x1b[1;35m</think>\x1b[0m" in capture.get()
    assert "\x1b[1;36m<answer>\x1b[0m" in capture.get()


def test_output_that_is_not_utf8_gets_escapes(home: Path):
    runner = CliRunner(charset="ascii")
    result = runner.invoke(app, ["diagnose", "sft-256-aaaa", "--full", "--home", str(home)])
    assert result.exit_code == 0, result.output
    assert "\\u2588" in result.stdout


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_fit_the_terminal(home: Path, width: int):
    out = shown(home, "diagnose", "sft-256-aaaa", width=width)
    out += shown(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-aaaa:0", width=width)
    commands = [line for line in out.splitlines() if line.startswith("  a5ctl")]
    others = [line for line in out.splitlines() if not line.startswith("  a5ctl")]
    assert commands
    assert max(map(len, others)) <= width


@pytest.mark.slow
def test_all_of_gsm8k_is_diagnosed(tmp_path: Path):
    kinds = (right, wrong, unclosed, cut, bad_separator)
    answers = [kinds[i % 5](10 + i) for i in range(1319)]
    handmade.record(tmp_path, "r-full", [evaluation(answers)])
    found = document(tmp_path, "diagnose", "r-full")
    assert found["n"] == 1319
    assert found["failures"] == sum(row["count"] for row in found["classes"]) == 1319 - 264
