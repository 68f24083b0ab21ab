"""`a5ctl diagnose RUN --against RUN`: what flipped between two evaluations, and why."""

import shutil
from pathlib import Path

import pytest

from core.responses.names import GraderName
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document, shown
from tests.a5ctl.diagnosed import FIRST
from tests.a5ctl.handmade import cut, evaluation, right, unclosed, wrong


@pytest.fixture
def home(diagnosed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(diagnosed, tmp_path / "home"))


def test_against_counts_what_flipped(home: Path):
    text = " ".join(shown(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-aaaa:0").split())
    assert "On 7 problems that both answered: 2 fixed, 1 broken; difference +14.3 points" in text
    assert "exact McNemar p 1.000" in text
    assert "cannot be told from noise (80% power)" in text
    assert "this speaks of these checkpoints only" in text
    assert "p000 10 11 10 math wrong_number" in text
    assert "p001 11 nothing 11 truncation truncated_thinking" in text
    assert "p002 12 12 13 math wrong_number" in text
    assert "sft-256-aaaa step 0 (before)" in text


def test_attribution_adds_up_to_the_difference(home: Path):
    handmade.record(home, "sft-256-bbbb", [evaluation([unclosed(10), *FIRST[1:]], step=10)])
    found = document(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-bbbb")["against"]
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
        home,
        "diagnose",
        "sft-256-aaaa",
        "--against",
        "sft-256-aaaa:0",
        "--class",
        "truncated_thinking",
    )["against"]
    assert [row["problem"] for row in found["fixed"]["problems"]] == ["p001"]
    assert found["broken"]["problems"] == []
    assert found["test"]["only_b"] == 2


def test_different_questions_refuse_the_test_unless_forced(home: Path):
    other = evaluation(FIRST, protocol=handmade.protocol(max_tokens=64, seed=3))
    handmade.record(home, "sft-256-cccc", [other])
    text = " ".join(shown(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-cccc").split())
    assert "different question: max_tokens '64' -> '256'" in text
    assert "differs: seed '3' -> '0'" in text
    assert "Not tested: the protocols differ in max_tokens; --force tests anyway" in text
    assert "McNemar" not in text
    forced = shown(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-cccc", "--force")
    assert "McNemar" in forced


def test_a_chosen_grader_makes_the_headline_graders_comparable(home: Path):
    other = evaluation(FIRST, protocol=handmade.protocol(grader=GraderName.STRICT))
    handmade.record(home, "sft-256-dddd", [other])
    arguments = ("sft-256-aaaa", "--against", "sft-256-dddd")
    assert document(home, "diagnose", *arguments)["against"]["test"] is None
    assert (
        document(home, "diagnose", *arguments, "--grader", "lenient")["against"]["test"]["n"] == 7
    )


def test_only_the_same_questions_are_paired(home: Path):
    changed = {0: "Something else?"}
    protocol = handmade.protocol(data_hash="0ther")
    other = evaluation(FIRST[:5], protocol=protocol, questions=changed)
    handmade.record(home, "sft-256-eeee", [other])
    found = document(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-eeee")["against"]
    assert (found["n"], found["left_out"]) == (4, 4)
    nothing = evaluation([right(10)], protocol=protocol, questions=changed)
    handmade.record(home, "sft-256-gggg", [nothing])
    result = ask(home, "diagnose", "sft-256-aaaa", "--against", "sft-256-gggg")
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
    found = document(tmp_path, "diagnose", "r-samples", "--against", "r-samples:0")["against"]
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
    text = " ".join(shown(tmp_path, "diagnose", "r-samples", "--against", "r-samples:0").split())
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
    result = ask(home, "diagnose", "sft-256-aaaa", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
