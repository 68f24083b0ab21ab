"""Responses are compared one by one: text, ending, and what every grader says."""

from dataclasses import replace

from core.registry.records import StoredGrade, StoredResponse
from core.reproduction.answers import compare_answers, keyed


def grade(right: bool, version: int = 2) -> StoredGrade:
    return StoredGrade(True, right, "7", None if right else "wrong", version)


def response(
    problem: str, text: str = "7", sample: int = 0, **grades: StoredGrade
) -> StoredResponse:
    return StoredResponse(
        problem, "How many?", "7", sample, text, "eos", 1, None, None, True, False, frozenset(),
        grades or {"strict": grade(True)},
    )  # fmt: skip


def compared(recorded: list[StoredResponse], again: list[StoredResponse]):
    return compare_answers("evaluation", 3, "test", keyed(recorded), keyed(again))


def test_the_same_responses_are_the_same_in_any_order():
    rows = [response("a"), response("b", sample=1)]
    found = compared(rows, rows[::-1])
    assert (found.same, found.n, found.same_texts, found.same_verdicts) == (True, 2, 2, 2)


def test_another_text_or_ending_is_named_by_its_problem():
    rows = [response("a"), response("b"), response("c", sample=2)]
    found = compared(rows, [rows[0], response("b", "8"), replace(rows[2], finish="length")])
    assert (found.same, found.same_texts, found.first) == (False, 1, "b")
    assert compared([rows[2]], [replace(rows[2], text="8")]).first == "c #2"


def test_another_verdict_on_the_same_text_is_a_difference():
    found = compared([response("a")], [response("a", strict=grade(False))])
    assert (found.same, found.same_texts, found.same_verdicts) == (False, 1, 0)


def test_verdicts_of_another_version_of_a_grader_are_not_compared():
    found = compared([response("a")], [response("a", strict=grade(False, version=3))])
    assert (found.same, found.unlike) == (True, ("strict",))


def test_a_response_that_only_one_has_is_missing():
    found = compared([response("a"), response("b")], [response("b")])
    assert (found.same, found.n, found.missing, found.first) == (False, 1, 1, "a")


def test_a_problem_that_is_asked_twice_counts_twice():
    rows = [response("a", "1"), response("a", "2")]
    assert compared(rows, rows).n == 2
    assert not compared(rows, rows[::-1]).same
