"""`a5ctl diagnose --by step`, `--by problem` and `--problem ID`."""

import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from a5ctl.tables.histograms import scaled_blocks
from a5ctl.tables.problems_view import pattern
from a5ctl.tables.steps_view import evenly
from core.engines.base import FinishReason
from core.responses.names import GraderName
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document, shown
from tests.a5ctl.handmade import cut, evaluation, right, unclosed, wrong

# problems:      always      learned    flips      lost      never      never
FIRST = [right(10), cut(11), right(12), right(13), wrong(14), cut(15)]
MIDDLE = [right(10), wrong(11), unclosed(12), right(13), wrong(14), cut(15)]
LAST = [right(10), right(11), right(12), wrong(13), wrong(14), unclosed(15)]
HOSTILE = "\x1b[31mred\x1b]0;title\x07 [bold]markup[/bold] [/] \u202egnp\u2066 \x9b2J \r"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("courses")
    steps = zip((0, 10, 20), (FIRST, MIDDLE, LAST), strict=True)
    handmade.record(path, "sft-aaaa", [evaluation(answers, step=step) for step, answers in steps])
    handmade.record(path, "sft-bbbb", [evaluation([wrong(10), wrong(11), right(12), right(13),
                                                   right(14), wrong(15)], step=5)])  # fmt: skip
    return path


@pytest.fixture
def home(recorded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(recorded, tmp_path / "home"))


def test_every_response_is_in_one_row_of_every_step(home: Path) -> None:
    found = document(home, "diagnose", "sft-aaaa", "--by", "step")
    assert found["steps"] == [0, 10, 20]
    counts = {row["class"]: row["counts"] for row in found["classes"]}
    assert counts == {
        "right": [3, 2, 3],
        "truncated_thinking": [2, 1, 0],
        "unclosed_answer": [0, 1, 1],
        "wrong_number": [1, 2, 2],
    }
    assert [sum(step) for step in zip(*counts.values(), strict=True)] == found["n"] == [6, 6, 6]


def test_the_mix_over_the_steps_is_drawn_on_one_scale(home: Path) -> None:
    lines = shown(home, "diagnose", "sft-aaaa", "--by", "step").splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["right"] == ["█▆█", "50.0%", "50.0%", "+0.0", "50.0%"]
    assert rows["truncated_thinking"] == ["▆▃·", "33.3%", "0.0%", "-33.3", "33.3%"]
    assert "n 6  3 evaluations, steps 0 to 20  under r1_zero" in lines
    assert "one scale for all rows: a full block is 50.0%, a dot is none" in lines


@pytest.mark.parametrize("options", [(), ("--by", "step"), ("--against", "sft-aaaa:0")])
def test_lines_in_a_pipe_end_with_their_text(home: Path, options: tuple[str, ...]) -> None:
    text = shown(home, "diagnose", "sft-aaaa", *options)
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_another_grader_gives_another_mix(home: Path) -> None:
    found = document(home, "diagnose", "sft-aaaa", "--by", "step", "--grader", "lenient")
    assert found["grader"] == "lenient"
    assert found["classes"][0]["counts"] == [3, 3, 4]


def test_other_splits_and_protocols_are_left_out_and_counted(home: Path) -> None:
    other = evaluation(LAST, step=5, protocol=handmade.protocol(max_tokens=64))
    handmade.record(home, "sft-cccc", [other, evaluation(FIRST, step=10)])
    found = document(home, "diagnose", "sft-cccc", "--by", "step")
    assert (found["steps"], found["left_out"]) == ([10], 1)
    assert "1 evaluations under another split or protocol" in shown(
        home, "diagnose", "sft-cccc", "--by", "step"
    )


def test_problems_are_sorted_by_what_happened_to_them(home: Path) -> None:
    found = document(home, "diagnose", "sft-aaaa", "--by", "problem")
    courses = {row["problem"]: row["course"] for row in found["problems"]}
    assert courses == {
        "p000": "always right",
        "p001": "learned",
        "p002": "flipping",
        "p003": "lost",
        "p004": "never right",
        "p005": "never right",
    }
    assert sum(found["counts"].values()) == 6
    assert found["problems"][2]["flips"] == 2
    assert found["problems"][1]["solved"] == [0, 0, 1]


def test_what_no_run_solves_is_told_from_what_another_run_solves(home: Path) -> None:
    found = document(home, "diagnose", "sft-aaaa", "--by", "problem")
    assert found["unsolved_by_any_run"] == ["p005"]
    assert found["problems"][4]["solved_by"] == ["sft-bbbb"]
    text = shown(home, "diagnose", "sft-aaaa", "--by", "problem")
    assert "no run ever solves these (2 runs asked them): 1" in text
    assert "only other runs solve these: 1" in text
    assert "these flip: 1" in text
    assert "█·█" in text
    assert "a5ctl diagnose --problem p005" in text


def test_the_same_question_in_other_data_counts(home: Path) -> None:
    protocol = handmade.protocol(data_hash="0ther")
    answers = [wrong(10), wrong(11), wrong(12), wrong(13), wrong(14), right(15)]
    changed = evaluation(answers, protocol=protocol, questions={4: "Something else?"})
    handmade.record(home, "sft-dddd", [changed])
    found = document(home, "diagnose", "sft-aaaa", "--by", "problem")
    assert found["unsolved_by_any_run"] == []
    assert found["problems"][5]["solved_by"] == ["sft-dddd"]
    assert found["problems"][4]["runs"] == ["sft-aaaa", "sft-bbbb"]


def test_a_problem_is_solved_when_any_sample_is_right(tmp_path: Path) -> None:
    answers = [wrong(10), right(10), cut(11), wrong(11)]
    protocol = handmade.protocol(n=2)
    handmade.record(tmp_path, "r-two", [evaluation(answers, protocol=protocol, samples=2)])
    found = document(tmp_path, "diagnose", "r-two", "--by", "problem")
    assert [row["solved"] for row in found["problems"]] == [[0.5], [0]]
    assert [row["failure"] for row in found["problems"]] == [None, "truncated_thinking"]
    assert "any of them is right" in shown(tmp_path, "diagnose", "r-two", "--by", "problem")


def test_one_problem_across_evaluations_and_runs(home: Path) -> None:
    found = document(home, "diagnose", "--problem", "p001")
    (question,) = found["questions"]
    assert [(a["run"], a["step"], a["right"]) for a in question["answers"]] == [
        ("sft-aaaa", 0, False),
        ("sft-aaaa", 10, False),
        ("sft-aaaa", 20, True),
        ("sft-bbbb", 5, False),
    ]
    assert question["answers"][0]["text"] == cut(11)[0]
    assert question["answers"][0]["grades"]["lenient"]["version"] >= 1
    text = shown(home, "diagnose", "--problem", "p001")
    assert "1 of 4 responses are right; 1 of 2 runs ever solved it" in text
    assert "How many is 1 + 10?" in text
    assert "sft-bbbb step 5 (the same text 2 times)" in text


def test_one_problem_of_one_run(home: Path) -> None:
    (question,) = document(home, "diagnose", "sft-bbbb", "--problem", "p001")["questions"]
    assert [a["run"] for a in question["answers"]] == ["sft-bbbb"]


@pytest.mark.slow
def test_the_responses_of_one_problem_are_capped_and_say_so(tmp_path: Path) -> None:
    steps = [evaluation([wrong(10)], step=step) for step in range(45)]
    handmade.record(tmp_path, "r-long", steps)
    text = shown(tmp_path, "diagnose", "--problem", "p000")
    assert "5 earlier responses; --json lists all" in text
    assert len(document(tmp_path, "diagnose", "--problem", "p000")["questions"][0]["answers"]) == 45


def test_one_id_for_two_questions_shows_both(home: Path) -> None:
    protocol = handmade.protocol(data_hash="0ther")
    other = evaluation([right(10)], protocol=protocol, questions={0: "Something else?"})
    handmade.record(home, "sft-eeee", [other])
    assert len(document(home, "diagnose", "--problem", "p000")["questions"]) == 2
    assert "2 different questions have the id p000" in shown(home, "diagnose", "--problem", "p000")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "name a run"),
        (("--problem", "p0001"), "ids look like p00"),
        (("sft-aaaa", "--by", "luck"), "choose step or problem"),
        (("sft-aaaa", "--by", "step", "--problem", "p000"), "give only one"),
        (("sft-aaaa", "--by", "step", "--step", "0"), "--step looks at one evaluation"),
        (("--problem", "p000", "--against", "sft-aaaa"), "--against looks at one evaluation"),
        (("nobody", "--by", "step"), "nobody"),
        (("nobody", "--problem", "p000"), "nobody"),
    ],
)
def test_views_that_make_no_sense_are_refused(
    home: Path, arguments: tuple[str, ...], said: str
) -> None:
    result = ask(home, "diagnose", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_run_without_evaluations_says_so(home: Path) -> None:
    handmade.record(home, "sft-none", [])
    for view in ("step", "problem"):
        result = ask(home, "diagnose", "sft-none", "--by", view)
        assert result.exit_code == 2
        assert "no evaluation to diagnose yet" in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [("r-hostile", "--by", "problem"), ("--problem", "p000")])
@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_hostile_text_never_reaches_the_terminal_raw(
    tmp_path: Path, arguments: tuple[str, ...], extra: tuple[str, ...]
) -> None:
    answer = (f"{HOSTILE}</think> <answer> {HOSTILE} </answer>", FinishReason.STOP_STRING)
    steps = [evaluation([answer], step=s, questions={0: f"What is {HOSTILE}?"}) for s in (0, 1)]
    handmade.record(tmp_path, "r-hostile", steps)
    out = shown(tmp_path, "diagnose", *arguments, *extra)
    assert not set(out) & set("\x1b\x07\u202e\u2066\x9b\r")


@pytest.mark.slow
@pytest.mark.parametrize("width", [40, 80, 140])
def test_lines_fit_the_terminal(home: Path, width: int) -> None:
    steps = [evaluation(LAST, step=100 * step) for step in range(130)]
    handmade.record(home, "sft-many", steps)
    for arguments in (("sft-many", "--by", "step"), ("sft-many", "--by", "problem")):
        out = shown(
            home, "diagnose", *arguments, width=max(width, 67 if "step" in arguments else width)
        )
        others = [line for line in out.splitlines() if not line.startswith("  a5ctl")]
        assert max(map(len, others)) <= max(width, 67)
    drawn = shown(home, "diagnose", "sft-many", "--by", "step", width=80)
    assert "21 of 130 evaluations are drawn; --json lists all" in drawn


def test_steps_are_left_out_evenly() -> None:
    assert evenly(3, 5) == [0, 1, 2]
    chosen = evenly(130, 21)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 129, 21)
    gaps = {later - earlier for earlier, later in pairwise(chosen)}
    assert gaps <= {6, 7}


def test_blocks_and_patterns() -> None:
    assert scaled_blocks([0, 0.001, 0.5, 1], 1) == "·▁▄█"
    assert pattern([None, 0.0, 0.5, 1.0]) == " ·▄█"


def test_graders_are_named_where_they_differ(home: Path) -> None:
    strict = evaluation(FIRST, protocol=handmade.protocol(grader=GraderName.STRICT))
    handmade.record(home, "sft-ffff", [strict])
    assert "grader" in shown(home, "diagnose", "--problem", "p000", width=140)
    (question,) = document(home, "diagnose", "--problem", "p000", "--grader", "lenient")[
        "questions"
    ]
    assert {answer["grader"] for answer in question["answers"]} == {"lenient"}


@pytest.mark.slow
def test_the_printed_command_of_a_hostile_id_finds_it(tmp_path: Path) -> None:
    result = evaluation([wrong(10)])
    named = replace(
        result,
        problems=(replace(result.problems[0], id="p\x1b[31m 1"),),
        responses=(replace(result.responses[0], problem_id="p\x1b[31m 1"),),
    )
    handmade.record(tmp_path, "r-named", [named])
    printed = shown(tmp_path, "diagnose", "r-named", "--by", "problem").splitlines()[-1]
    assert "\x1b" not in printed
    (question,) = document(tmp_path, "diagnose", *shlex.split(printed)[2:])["questions"]
    assert question["responses"] == 1
