"""Outcomes problem by problem, counted from stored responses."""

from pathlib import Path

import pytest

from core.registry.records import Outcome
from tests.a5ctl import handmade
from tests.a5ctl.handmade import bad_separator, cut, evaluation, protocol, right, unclosed, wrong

ANSWERS = [right(10), wrong(11), unclosed(12), bad_separator(13), cut(14)]


@pytest.mark.parametrize(
    ("outcome", "grader", "expected"),
    [
        (Outcome.ACCURACY, "r1_zero", [1, 0, 0, 0, 0]),
        (Outcome.ACCURACY, "lenient", [1, 0, 1, 1, 0]),
        (Outcome.FORMATTED, "r1_zero", [1, 1, 0, 0, 0]),
        (Outcome.UNCLOSED, "r1_zero", [0, 0, 1, 0, 1]),
        (Outcome.UNPARSEABLE, "r1_zero", [0, 0, 0, 0, 0]),
        (Outcome.TRUNCATED, "r1_zero", [0, 0, 0, 0, 1]),
        (Outcome.LAST_NUMBER, "r1_zero", [1, 0, 1, 1, 0]),
    ],
)
def test_outcomes_by_problem(tmp_path: Path, outcome: Outcome, grader: str, expected: list[int]):
    run = handmade.record(tmp_path, "sft-5-aaaa", [evaluation(ANSWERS)])
    registry = handmade.open_home(tmp_path)
    (found,) = registry.evaluations([run.uuid])
    counts = registry.counts_by_problem(found.uuid, outcome, grader)
    assert counts == {f"p{i:03d}": (hits, 1) for i, hits in enumerate(expected)}


def test_samples_of_one_problem_are_counted_together(tmp_path: Path):
    answers = [right(10), wrong(10), right(10), wrong(11), wrong(11), cut(11)]
    result = evaluation(answers, samples=3, protocol=protocol(n=3))
    run = handmade.record(tmp_path, "sft-2-aaaa", [result])
    registry = handmade.open_home(tmp_path)
    (found,) = registry.evaluations([run.uuid])
    counts = registry.counts_by_problem(found.uuid, Outcome.ACCURACY, "r1_zero")
    assert counts == {"p000": (2, 3), "p001": (0, 3)}
    answers_given = registry.sampled_answers(found.uuid, "r1_zero")
    assert [right for right, _ in answers_given["p000"]] == [True, False, True]
    assert answers_given["p001"][2] == (False, None)
