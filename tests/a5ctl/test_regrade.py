"""`a5ctl regrade`: new grader versions over stored responses."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import core.regrading
from core.registry.store import Registry
from core.registry.verdict_sets import Ending, Noted, change_notes
from core.responses import grade
from core.responses.names import GRADER_VERSIONS, FailureClass, GraderName
from tests.a5ctl import handmade
from tests.a5ctl.asking import ask, document
from tests.a5ctl.handmade import bad_separator, cut, evaluation, right, unclosed, wrong

NOW = GRADER_VERSIONS[GraderName.R1_ZERO]
NEXT = NOW + 1
ANSWERS = [right(10), bad_separator(11), wrong(12), bad_separator(13), unclosed(14), cut(15)]
NewGrader = Callable[[GraderName], None]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    steps = [evaluation(ANSWERS, step=0), evaluation([right(10), *ANSWERS[1:]], step=10)]
    handmade.record(tmp_path, "sft-aaaa", steps)
    return tmp_path


@pytest.fixture
def forgiving(monkeypatch: pytest.MonkeyPatch) -> NewGrader:
    """Make a grader forgive a missing space, in a version of its own."""

    def raise_version(grader: GraderName) -> None:
        old = grade.grade_responses

        def forgive(items: list, **options: float) -> list:
            mended = [replace(i, text=i.text.replace("</think><", "</think> <")) for i in items]
            pairs = zip(old(items, **options), old(mended, **options), strict=True)
            return [
                replace(
                    now,
                    verdicts={**now.verdicts, grader: then.verdicts[grader]},
                    failures={**now.failures, grader: then.failures[grader]},
                )
                for now, then in pairs
            ]

        monkeypatch.setitem(GRADER_VERSIONS, grader, GRADER_VERSIONS[grader] + 1)
        monkeypatch.setattr(core.regrading, "grade_responses", forgive)

    return raise_version


def all_grades(registry: Registry) -> list:
    return registry.database.read(
        'SELECT response, grader, version, formatted, "right", extracted, failure FROM grade'
    )


def test_without_a_new_version_nothing_changes(home: Path) -> None:
    registry = handmade.open_home(home)
    before = all_grades(registry)
    result = ask(home, "regrade", "sft-aaaa")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert f"nothing to do: every response of sft-aaaa has its grades of r1_zero {NOW}" in said
    assert all_grades(registry) == before


def test_a_new_version_stands_beside_the_old_grades(home: Path, forgiving: NewGrader) -> None:
    registry = handmade.open_home(home)
    before = all_grades(registry)
    forgiving(GraderName.R1_ZERO)
    found = document(home, "regrade", "sft-aaaa", "--grader", "r1_zero")
    assert found["responses"] == 12
    assert found["flipped"] == 4
    (row,) = found["graders"]
    assert (row["gained"], row["lost"], row["versions"]) == (4, 0, [NOW, NEXT])
    after = all_grades(registry)
    assert set(before) < set(after)
    assert {row[1:3] for row in set(after) - set(before)} == {("r1_zero", NEXT)}
    assert len(after) == len(before) + 12


def test_regrading_twice_changes_nothing_more(home: Path, forgiving: NewGrader) -> None:
    forgiving(GraderName.STRICT)
    registry = handmade.open_home(home)
    document(home, "regrade", "sft-aaaa")
    once = all_grades(registry), registry.evaluations([registry.find_run("sft-aaaa").uuid])
    assert document(home, "regrade", "sft-aaaa")["responses"] == 0
    again = all_grades(registry), registry.evaluations([registry.find_run("sft-aaaa").uuid])
    assert again == once


@pytest.mark.slow
def test_figures_follow_the_newest_grades_everywhere(home: Path, forgiving: NewGrader) -> None:
    forgiving(GraderName.R1_ZERO)
    document(home, "regrade", "sft-aaaa")
    diagnosed = document(home, "diagnose", "sft-aaaa")
    assert diagnosed["accuracy"] == pytest.approx(3 / 6)
    assert diagnosed["accuracy_by_grader"]["r1_zero"] == pytest.approx(3 / 6)
    assert diagnosed["protocol"]["grader_version"] == NEXT
    assert (diagnosed["type1"], diagnosed["type2"], diagnosed["type3"]) == (3, 1, 2)
    (listed,) = document(home, "ls")
    assert listed["accuracy"] == pytest.approx(3 / 6)
    shown = document(home, "show", "sft-aaaa")
    assert [e["type1"] for e in shown["evaluations"]] == [3, 3]
    assert document(home, "diagnose", "sft-aaaa", "--by", "step")["classes"][0]["counts"] == [3, 3]


def test_an_event_keeps_what_the_figures_were(home: Path, forgiving: NewGrader) -> None:
    forgiving(GraderName.R1_ZERO)
    document(home, "regrade", "sft-aaaa")
    events = [e for e in document(home, "show", "sft-aaaa")["events"] if e["kind"] == "regraded"]
    assert [event["step"] for event in events] == [0, 10]
    assert events[0]["data"]["before"]["r1_zero"] == pytest.approx(1 / 6)
    assert events[0]["data"]["after"]["r1_zero"] == pytest.approx(3 / 6)
    assert events[0]["data"]["types"] == [[1, 3], [1, 1], [4, 2]]


@pytest.mark.slow
def test_regraded_and_other_runs_are_not_compared_in_silence(
    home: Path, forgiving: NewGrader
) -> None:
    handmade.record(home, "sft-bbbb", [evaluation(ANSWERS, step=10)])
    forgiving(GraderName.R1_ZERO)
    document(home, "regrade", "sft-aaaa")
    pair = ("diagnose", "sft-aaaa", "--against", "sft-bbbb")
    assert document(home, *pair)["against"]["protocols"]["blocking"] == ["grader_version"]
    document(home, "regrade", "sft-bbbb")
    assert document(home, *pair)["against"]["protocols"]["blocking"] == []


@pytest.mark.slow
def test_another_grader_alone_leaves_the_headline(home: Path, forgiving: NewGrader) -> None:
    forgiving(GraderName.STRICT)
    found = document(home, "regrade", "sft-aaaa", "--grader", "strict")
    assert found["flipped"] == 4
    diagnosed = document(home, "diagnose", "sft-aaaa")
    assert diagnosed["accuracy"] == pytest.approx(1 / 6)
    assert diagnosed["accuracy_by_grader"]["strict"] == pytest.approx(3 / 6)
    assert diagnosed["protocol"]["grader_version"] == NOW


def test_what_is_observed_beside_the_verdicts_is_noted_anew(
    home: Path, forgiving: NewGrader
) -> None:
    registry = handmade.open_home(home)
    with registry.database.begin() as connection:
        rows = connection.exec_driver_sql("SELECT key FROM answer").scalars().all()
        other = Ending("stop_string", closed=False, unparseable=True, flags="")
        change_notes(connection, rows, lambda _, noted: Noted(other, noted.grades))
    forgiving(GraderName.STRICT)
    document(home, "regrade", "sft-aaaa")
    shown = document(home, "show", "sft-aaaa")["evaluations"][0]
    assert (shown["unclosed"], shown["unparseable"], shown["numeric"]) == (2, 0, 6)
    flags = {row[0] for row in registry.database.read("SELECT flags FROM response")}
    assert "right_by_last_number,right_by_r1_zero" in flags


def test_samples_of_one_problem_stay_dependent(tmp_path: Path, forgiving: NewGrader) -> None:
    answers = [right(10)] * 8 + [wrong(11)] * 8 + [right(12)] * 8 + [wrong(13)] * 8
    sampled = evaluation(answers, samples=8, protocol=handmade.protocol(n=8))
    handmade.record(tmp_path, "sft-cccc", [sampled])
    forgiving(GraderName.R1_ZERO)
    document(tmp_path, "regrade", "sft-cccc")
    low, high = document(tmp_path, "diagnose", "sft-cccc")["interval"]
    assert high - low > 0.6
    registry = handmade.open_home(tmp_path)
    (stored,) = registry.evaluations([registry.find_run("sft-cccc").uuid])
    assert stored.interval == pytest.approx((low, high))
    assert stored.interval == pytest.approx(sampled.summary.interval)


def test_flipped_verdicts_are_shown_with_both_sides(home: Path, forgiving: NewGrader) -> None:
    forgiving(GraderName.R1_ZERO)
    text = ask(home, "regrade", "sft-aaaa", "--examples", "1").stdout
    assert "12 responses in 2 evaluations graded again; 4 verdicts flipped" in text
    assert "flipped verdicts: 1 of 4" in text
    assert f"wrong, {FailureClass.BAD_SEPARATOR} by r1_zero version {NOW}: nothing" in text
    assert f"right by r1_zero version {NEXT}: 11" in " ".join(text.split())
    assert "--examples 4 shows every one" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["r1_zero", str(NOW), "to", str(NEXT), "12", "4", "0", "0"] in lines
    assert ["10", "test", "6", "r1_zero", "16.7%", "50.0%"] in lines


def test_a_regrade_that_dies_leaves_whole_evaluations(
    home: Path, forgiving: NewGrader, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgiving(GraderName.R1_ZERO)
    store, calls = core.regrading.store_regrade, []

    def die_in_the_second(*arguments: object) -> dict:
        calls.append(arguments)
        if len(calls) == 1:
            return store(*arguments)
        monkeypatch.setattr(core.registry.regrade_writes, "_follow", pytest.fail)
        return store(*arguments)

    monkeypatch.setattr(core.regrading, "store_regrade", die_in_the_second)
    assert ask(home, "regrade", "sft-aaaa", "--grader", "r1_zero").exit_code != 0
    rows = all_grades(handmade.open_home(home))
    assert sum(row[1:3] == ("r1_zero", NEXT) for row in rows) == 6
    monkeypatch.undo()
    forgiving(GraderName.R1_ZERO)
    assert document(home, "regrade", "sft-aaaa", "--grader", "r1_zero")["responses"] == 6


def test_without_a_run_folder_it_says_where_the_grades_are(
    home: Path, forgiving: NewGrader
) -> None:
    forgiving(GraderName.STRICT)
    (home / "runs" / "sft-aaaa").rename(home / "elsewhere")
    result = ask(home, "regrade", "sft-aaaa")
    assert result.exit_code == 0
    assert "only in the registry, because there is no run folder here: sft-aaaa" in result.stderr
    assert "only in the registry" not in ask(home, "regrade", "sft-aaaa").stderr


def test_grades_of_a_newer_tool_are_not_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handmade.change_versions(home, lambda _: 7, grader="strict")
    result = ask(home, "regrade", "sft-aaaa")
    assert result.exit_code == 2
    assert "graded by version 7 of strict" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nobody",), "nobody"),
        (("sft-aaaa", "--grader", "kind"), "grader 'kind' is unknown"),
        (("sft-none",), "has no evaluation whose responses"),
    ],
)
def test_bad_input_is_one_sentence(home: Path, arguments: tuple[str, ...], said: str) -> None:
    handmade.record(home, "sft-none", [])
    result = ask(home, "regrade", *arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("width", [60, 80, 140])
def test_lines_fit_the_terminal(home: Path, forgiving: NewGrader, width: int) -> None:
    forgiving(GraderName.R1_ZERO)
    text = ask(home, "regrade", "sft-aaaa", width=width).stdout
    assert max(map(len, text.splitlines())) <= width
