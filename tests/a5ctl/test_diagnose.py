import functools
import json
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from a5ctl.app import app
from a5ctl.tables.histograms import blocks, length_contrasts
from a5ctl.tables.responses import shortened, spread
from core.engines.base import FinishReason
from core.responses.breakdown import OutcomeRow, break_down
from core.responses.causes import (
    CauseContext,
    CauseName,
    Findings,
    FoundCause,
    Sibling,
)
from core.responses.names import FailureClass, GraderName
from core.responses.verdict import commands_of_run, explain
from tests.a5ctl import handmade
from tests.a5ctl.handmade import bad_separator, cut, evaluation, right, unclosed, wrong

LAST = [right(10), right(11), wrong(12), unclosed(13), unclosed(14), unclosed(15), cut(16)]
FIRST = [wrong(10), cut(11), right(12), unclosed(13), wrong(14), bad_separator(15), cut(16)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded")
    handmade.record(path, "sft-256-aaaa", [evaluation(FIRST, step=0), evaluation(LAST, step=10)])
    return path


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "home"))


def ask(home: Path, *arguments: str, width: int = 100) -> Result:
    return CliRunner().invoke(
        app,
        ["diagnose", *arguments, "--home", str(home)],
        env={"COLUMNS": str(width), "NO_COLOR": "1"},
    )


def shown(home: Path, *arguments: str, width: int = 100) -> str:
    result = ask(home, *arguments, width=width)
    assert result.exit_code == 0, result.output
    return result.stdout


def document(home: Path, *arguments: str) -> dict:
    return json.loads(shown(home, *arguments, "--json"), parse_constant=pytest.fail)


def test_the_last_evaluation_is_put_into_words(home: Path):
    text = " ".join(shown(home, "sft-256-aaaa").split())
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
    found = document(home, "sft-256-aaaa")
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
    text = shown(home, "sft-256-aaaa", width=140)
    (line,) = [line for line in text.splitlines() if line.startswith("unclosed_answer  ")]
    assert line.split()[:4] == ["unclosed_answer", "3", "42.9%", "60.0%"]
    assert line.endswith("it ended by itself inside the answer, without </answer>")


def test_format_and_math_are_a_table(home: Path):
    lines = [line.split() for line in shown(home, "sft-256-aaaa", "--full").splitlines()]
    assert ["format", "ok", "0", "1", "0", "1"] in lines
    assert ["format", "not", "ok", "3", "0", "1", "4"] in lines
    assert ["all", "3", "1", "1", "5"] in lines


def test_lengths_are_contrasted_over_shared_bins(home: Path):
    response, think, answer = document(home, "sft-256-aaaa")["lengths"]
    assert response["right"]["n"] == sum(response["right_counts"]) == 2
    assert response["wrong"]["n"] == sum(response["wrong_counts"]) == 5
    assert len(response["right_counts"]) == len(response["wrong_counts"])
    assert len(response["edges"]) == len(response["right_counts"]) + 1
    assert think["wrong"]["n"] == answer["wrong"]["n"] == 4
    assert "lengths in tokens" in shown(home, "sft-256-aaaa", "--full")
    assert "lengths in tokens" not in shown(home, "sft-256-aaaa")


def test_every_bin_that_holds_something_shows():
    assert blocks([0, 1, 100]) == "·▁█"
    assert blocks([]) == ""
    assert length_contrasts([], [])[0].edges == ()


def test_a_step_is_chosen(home: Path):
    text = shown(home, "sft-256-aaaa", "--step", "0")
    assert "step 0  test" in text
    assert "14.3%" in text
    assert "a5ctl diagnose sft-256-aaaa --step 0 --class" in text


def test_an_unknown_step_names_those_there_are(home: Path):
    result = ask(home, "sft-256-aaaa", "--step", "7")
    assert result.exit_code == 2
    assert "no evaluation of step 7; it has 0, 10" in result.stderr


def test_a_run_without_evaluations_says_so(home: Path):
    handmade.record(home, "sft-128-nnnn", [])
    result = ask(home, "sft-128-nnnn")
    assert result.exit_code == 2
    assert "run sft-128-nnnn has no evaluation to diagnose yet" in " ".join(result.stderr.split())


def test_an_unknown_run_is_bad_input(home: Path):
    assert ask(home, "sft-999-zzzz").exit_code == 2


def test_one_class_alone(home: Path):
    text = shown(home, "sft-256-aaaa", "--class", "wrong_number")
    assert "wrong_number: 1 of 1" in text
    assert "unclosed_answer:" not in text
    assert [
        row["class"] for row in document(home, "sft-256-aaaa", "--class", "wrong_number")["classes"]
    ] == ["wrong_number"]


def test_a_class_that_does_not_occur_is_no_error(home: Path):
    text = shown(home, "sft-256-aaaa", "--class", "grader_timeout")
    assert "nothing failed as grader_timeout" in text
    assert document(home, "sft-256-aaaa", "--class", "grader_timeout")["classes"] == []


def test_an_unknown_class_names_the_classes(home: Path):
    result = ask(home, "sft-256-aaaa", "--class", "bad_luck")
    assert result.exit_code == 2
    assert all(name in result.stderr.replace("\n", "") for name in FailureClass)


def test_an_unknown_grader_names_the_graders(home: Path):
    result = ask(home, "sft-256-aaaa", "--grader", "kind")
    assert result.exit_code == 2
    assert all(name in result.stderr.replace("\n", "") for name in GraderName)


def test_examples_show_question_truth_answer_and_text(home: Path):
    text = shown(home, "sft-256-aaaa", "--class", "wrong_number", "--examples", "1")
    assert "How many is 2 + 10?" in text
    words = [line.split() for line in text.splitlines()]
    assert ["truth", "12"] in words
    assert ["extracted", "13"] in words
    assert "so it is 13 </think> <answer> 13 </answer>" in text
    assert "stop_string, 8 tokens, think 4, <answer> at 5" in text


def test_without_an_answer_the_last_number_is_shown(home: Path):
    text = shown(home, "sft-256-aaaa", "--class", "unclosed_answer", "--examples", "1")
    assert "nothing; last number 14" in text


def test_examples_are_counted_out_and_can_be_none(home: Path):
    assert "unclosed_answer: 2 of 3" in shown(home, "sft-256-aaaa", "--examples", "2")
    assert "wrong_number: 1 of 1" in shown(home, "sft-256-aaaa", "--class", "wrong_number")
    text = shown(home, "sft-256-aaaa")
    assert "question" not in text
    assert all(
        row["examples"] == []
        for row in document(home, "sft-256-aaaa", "--examples", "0")["classes"]
    )
    assert ask(home, "sft-256-aaaa", "--examples", "-1").exit_code == 2


def test_examples_are_spread_over_the_set():
    assert spread(list(range(100)), 3) == [16, 50, 83]
    assert spread([1, 2], 3) == [1, 2]
    assert spread([], 3) == spread([1], 0) == []


def test_a_long_response_loses_its_middle_and_says_how_much(tmp_path: Path):
    text = f"START {'pad ' * 1000}</think> <answer> 11 </answer>"
    handmade.record(tmp_path, "r-long", [evaluation([(text, FinishReason.STOP_STRING)])])
    out = shown(tmp_path, "r-long", "--examples", "1")
    head, tail = shortened(text, 900, 16)
    assert f"[... {tail - head:,} characters left out ...]" in out.replace("\n            ", " ")
    assert "START" in out
    assert "</think> <answer> 11 </answer>" in out
    assert document(tmp_path, "r-long")["classes"][0]["examples"][0]["text"] == text


def test_many_lines_are_shortened_too():
    text = "a\n" * 100
    head, tail = shortened(text, 900, 16)
    assert text[:head].count("\n") + text[tail:].count("\n") < 16
    assert shortened("short", 900, 16) == (5, 5)


def test_another_grader_judges(tmp_path: Path):
    handmade.record(tmp_path, "r-graders", [evaluation(LAST)])
    found = document(tmp_path, "r-graders", "--grader", "lenient")
    assert found["accuracy"] == found["accuracy_by_grader"]["lenient"] == pytest.approx(5 / 7)
    assert found["failures"] == 2
    assert "--grader lenient --class" in shown(tmp_path, "r-graders", "--grader", "lenient")


def test_nothing_failed(tmp_path: Path):
    handmade.record(tmp_path, "r-best", [evaluation([right(10), right(11)])])
    text = shown(tmp_path, "r-best")
    assert "Nothing failed." in text
    assert "failures by class" not in text
    assert document(tmp_path, "r-best")["failures"] == 0


def test_advice_names_commands_for_what_was_diagnosed(home: Path):
    text = shown(home, "sft-256-aaaa")
    assert "a5ctl diagnose sft-256-aaaa --class unclosed_answer\n" in text
    assert "a5ctl diagnose sft-256-aaaa --against sft-256-aaaa:0\n" in text
    early = shown(home, "sft-256-aaaa", "--step", "0")
    assert "--init" not in early
    assert "a5ctl diagnose sft-256-aaaa\n" in early


def test_advice_for_an_evaluation_run_starts_from_its_model(tmp_path: Path):
    answers = [(unclosed if i < 20 else cut)(10 + i) for i in range(40)]
    handmade.record(tmp_path, "eval-ffff", [evaluation(answers)], kind="eval")
    text = shown(tmp_path, "eval-ffff")
    assert "a5ctl run sft --filter correct\n" in text
    assert "--run eval-ffff" not in text
    config = tmp_path / "runs" / "eval-ffff" / "config.toml"
    config.write_text("kind = 'eval'\n", encoding="utf-8")
    assert f"a5ctl run eval --config {config} --max-tokens 512\n" in shown(tmp_path, "eval-ffff")
    assert "a5ctl probe eval-ffff --close\n" in shown(tmp_path, "eval-ffff")


@pytest.mark.parametrize("cause", CauseName)
@pytest.mark.parametrize("supervise", ["response", "answer"])
@pytest.mark.parametrize("more_data", [True, False])
def test_advised_commands_exist(cause: CauseName, supervise: str, more_data: bool):
    found = Findings((FoundCause(cause, 3, 1.0, 3, "3 of 3 do"),), boxes=more_data)
    sibling = Sibling("sft-128-bbbb", 128, 256, 0.9, 3, 0.9, 1e-6)
    commands = replace(
        commands_of_run("sft-256-aaaa"), more_data=more_data, supervise=supervise, stops=()
    )
    for failure in FailureClass:
        row = OutcomeRow(failure, False, FinishReason.LENGTH, 256)
        context = CauseContext(cap=256, sibling=sibling)
        told = explain(break_down([row] * 3), found, context=context, commands=commands)
        assert told.causes[0].command == told.advice[0].command
        for advice in told.advice:
            parse_as_typed(advice.command)


@functools.cache
def parse_as_typed(command: str) -> None:
    program, *words = shlex.split(command)
    assert program == "a5ctl"
    node: Any = whole_program()
    while hasattr(node, "commands"):
        node = node.commands[words.pop(0)]
    node.make_context(node.name, words)


@functools.cache
def whole_program() -> Any:
    return get_command(app)


def test_against_counts_what_flipped(home: Path):
    text = " ".join(shown(home, "sft-256-aaaa", "--against", "sft-256-aaaa:0").split())
    assert "On 7 problems that both answered: 2 fixed, 1 broken; difference +14.3 points" in text
    assert "exact McNemar p 1.000" in text
    assert "could not be told from noise here (80% power)" in text
    assert "this speaks of these checkpoints only" in text
    assert "p000 10 11 10 math wrong_number" in text
    assert "p001 11 nothing 11 truncation truncated_thinking" in text
    assert "p002 12 12 13 math wrong_number" in text
    assert "sft-256-aaaa step 0 (before)" in text


def test_attribution_adds_up_to_the_difference(home: Path):
    handmade.record(home, "sft-256-bbbb", [evaluation([unclosed(10), *FIRST[1:]], step=10)])
    found = document(home, "sft-256-aaaa", "--against", "sft-256-bbbb")["against"]
    rows = {row["cause"]: row["net"] for row in found["attribution"]["rows"]}
    assert rows == {"format": 1, "truncation": 1, "math": -1}
    assert sum(rows.values()) == found["attribution"]["net"]
    assert found["attribution"]["difference"] == pytest.approx(found["test"]["difference"])
    assert found["test"]["only_b"] == len(found["fixed"]["problems"]) == 2
    assert found["test"]["only_a"] == len(found["broken"]["problems"]) == 1
    example = found["fixed"]["examples"][0]
    assert not example["before"]["right"]
    assert example["after"]["right"]


def test_against_lists_one_class_of_the_wrong_side(home: Path):
    found = document(
        home, "sft-256-aaaa", "--against", "sft-256-aaaa:0", "--class", "truncated_thinking"
    )["against"]
    assert [row["problem"] for row in found["fixed"]["problems"]] == ["p001"]
    assert found["broken"]["problems"] == []
    assert found["test"]["only_b"] == 2


def test_different_questions_refuse_the_test_unless_forced(home: Path):
    other = evaluation(FIRST, protocol=handmade.protocol(max_tokens=64, seed=3))
    handmade.record(home, "sft-256-cccc", [other])
    text = " ".join(shown(home, "sft-256-aaaa", "--against", "sft-256-cccc").split())
    assert "different question: max_tokens '64' -> '256'" in text
    assert "differs: seed '3' -> '0'" in text
    assert "Not tested: the protocols differ in max_tokens; --force tests anyway" in text
    assert "McNemar" not in text
    forced = shown(home, "sft-256-aaaa", "--against", "sft-256-cccc", "--force")
    assert "McNemar" in forced


def test_a_chosen_grader_makes_the_headline_graders_comparable(home: Path):
    other = evaluation(FIRST, protocol=handmade.protocol(grader=GraderName.STRICT))
    handmade.record(home, "sft-256-dddd", [other])
    arguments = ("sft-256-aaaa", "--against", "sft-256-dddd")
    assert document(home, *arguments)["against"]["test"] is None
    assert document(home, *arguments, "--grader", "lenient")["against"]["test"]["n"] == 7


def test_only_the_same_questions_are_paired(home: Path):
    changed = {0: "Something else?"}
    protocol = handmade.protocol(data_hash="0ther")
    other = evaluation(FIRST[:5], protocol=protocol, questions=changed)
    handmade.record(home, "sft-256-eeee", [other])
    found = document(home, "sft-256-aaaa", "--against", "sft-256-eeee")["against"]
    assert (found["n"], found["left_out"]) == (4, 4)
    nothing = evaluation([right(10)], protocol=protocol, questions=changed)
    handmade.record(home, "sft-256-gggg", [nothing])
    result = ask(home, "sft-256-aaaa", "--against", "sft-256-gggg")
    assert result.exit_code == 2
    assert "no problem was asked in both" in result.stderr


def test_samples_of_one_problem_count_as_parts_of_it(tmp_path: Path):
    protocol = handmade.protocol(n=2)
    early = [wrong(10), wrong(10), cut(11), right(11), right(12), wrong(12)]
    late = [right(10), wrong(10), right(11), right(11), wrong(12), right(12)]
    steps = [
        evaluation(answers, step=step, protocol=protocol, samples=2)
        for step, answers in enumerate((early, late))
    ]
    handmade.record(tmp_path, "r-samples", steps)
    found = document(tmp_path, "r-samples", "--against", "r-samples:0")["against"]
    assert (found["n"], found["test"]["n"], found["left_out"]) == (3, 3, 0)
    assert found["test"]["difference"] == pytest.approx(1 / 3)
    assert found["attribution"]["difference"] == pytest.approx(1 / 3)
    rows = {row["cause"]: (row["gained"], row["lost"]) for row in found["attribution"]["rows"]}
    assert rows == {"format": (0, 0), "truncation": (0.5, 0), "math": (0.75, 0.25)}
    fixed = found["fixed"]["problems"]
    assert [(f["problem"], f["right_before"], f["right_after"]) for f in fixed] == [
        ("p000", [0, 2], [1, 2]),
        ("p001", [1, 2], [2, 2]),
    ]
    assert found["broken"]["problems"] == []
    text = " ".join(shown(tmp_path, "r-samples", "--against", "r-samples:0").split())
    assert "On 3 problems with several samples: 2 right more often than before" in text
    assert "0/2 -> 1/2" in text
    assert "samples count as parts of a problem" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--against", "sft-256-aaaa"), "cannot be compared with itself"),
        (("--against", "sft-256-aaaa:5"), "no evaluation of step 5; it has 0, 10"),
        (("--against", "nobody"), "nobody"),
        (("--force",), "--force belongs to --against"),
    ],
)
def test_bad_comparisons_are_refused(home: Path, arguments: tuple[str, ...], said: str):
    result = ask(home, "sft-256-aaaa", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] [/] \u202egnp\u2066 \x9b2J \u200b\r"


@pytest.mark.parametrize(
    "extra", [("--full", "--examples", "1"), ("--against", "r-mild"), ("--json",)]
)
def test_hostile_text_never_reaches_the_terminal_raw(tmp_path: Path, extra: tuple[str, ...]):
    answer = (f"{HOSTILE}</think> <answer> {HOSTILE} </answer>", FinishReason.STOP_STRING)
    question = {0: f"What is {HOSTILE}?"}
    handmade.record(tmp_path, "r-hostile", [evaluation([answer], questions=question)])
    handmade.record(tmp_path, "r-mild", [evaluation([right(10)], questions=question)])
    out = shown(tmp_path, "r-hostile", *extra)
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
    out = shown(home, "sft-256-aaaa", width=width)
    out += shown(home, "sft-256-aaaa", "--against", "sft-256-aaaa:0", width=width)
    commands = [line for line in out.splitlines() if line.startswith("  a5ctl")]
    others = [line for line in out.splitlines() if not line.startswith("  a5ctl")]
    assert commands
    assert max(map(len, others)) <= width


@pytest.mark.slow
def test_all_of_gsm8k_is_diagnosed(tmp_path: Path):
    kinds = (right, wrong, unclosed, cut, bad_separator)
    answers = [kinds[i % 5](10 + i) for i in range(1319)]
    handmade.record(tmp_path, "r-full", [evaluation(answers)])
    found = document(tmp_path, "r-full")
    assert found["n"] == 1319
    assert found["failures"] == sum(row["count"] for row in found["classes"]) == 1319 - 264
