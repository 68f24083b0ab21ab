import itertools

import pytest

import core.responses.comparer as comparer_module
from core.engines.base import FinishReason
from core.responses.comparer import Comparer
from core.responses.grade import GraderName, GradingItem, grade_responses
from core.responses.symbolic import Comparison, Question


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still unless a comparison moves it."""
    now = [0.0]
    monkeypatch.setattr(comparer_module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, clock: list[float]) -> list[tuple[str, float]]:
    """A worker whose answer to `slow N` takes N seconds; what it was asked, with which limit."""
    asked: list[tuple[str, float]] = []

    def compare(given: str, truth: str, limit: float, question: Question) -> Comparison:
        asked.append((given, limit))
        takes = float(given.partition(" ")[2])
        clock[0] += min(takes, limit)
        return Comparison.EQUAL if takes < limit else Comparison.TIMED_OUT

    monkeypatch.setattr(comparer_module, "prepare_worker", lambda question: None)
    monkeypatch.setattr(comparer_module, "compare_symbolically", compare)
    monkeypatch.setattr(comparer_module, "_decide_here", lambda *key: None)
    return asked


def test_the_comparisons_of_a_response_share_its_limit(worker: list[tuple[str, float]]):
    comparer = Comparer(2.0)
    comparer.begin_response()
    assert comparer.course("slow 1.5", "x") is Comparison.EQUAL
    assert comparer.value("slow 1", "x") is Comparison.TIMED_OUT
    assert comparer.value("slow 0.1", "x") is Comparison.TIMED_OUT
    assert worker == [("slow 1.5", 2.0), ("slow 1", 0.5)]


def test_a_comparison_that_had_less_than_the_limit_is_asked_again(worker: list[tuple[str, float]]):
    comparer = Comparer(2.0)
    comparer.begin_response()
    comparer.course("slow 1.5", "x")
    assert comparer.value("slow 1", "x") is Comparison.TIMED_OUT
    comparer.begin_response()
    assert comparer.value("slow 1", "x") is Comparison.EQUAL


def test_a_known_time_out_uses_up_the_limit_like_a_new_one(worker: list[tuple[str, float]]):
    comparer = Comparer(2.0)
    for _ in range(3):
        comparer.begin_response()
        assert comparer.course("slow 9", "x") is Comparison.TIMED_OUT
        assert comparer.value("slow 0", "x") is Comparison.TIMED_OUT
    assert worker == [("slow 9", 2.0)]


def test_a_known_answer_takes_no_time(worker: list[tuple[str, float]]):
    comparer = Comparer(2.0)
    for _ in range(5):
        comparer.begin_response()
        assert comparer.course("slow 1.5", "x") is Comparison.EQUAL
    assert len(worker) == 1


ITEMS = [
    GradingItem(text, truth, FinishReason.STOP_STRING)
    for text, truth in [
        (" a </think> <answer> 1+x </answer>", "x+1"),
        (" a </think> <answer> √2 </answer>", "\\sqrt{2}"),
        (" a </think> <answer> 9**9**9**9 </answer>", "\\sqrt{2}"),
        (" a \\boxed{√2} </think> <answer> 9**9**9**9 </answer>", "\\sqrt{2}"),
        (" so \\boxed{(0, 1]}", "(0,1]"),
    ]
]


def grades(items: list[GradingItem], limit: float) -> list[tuple[object, ...]]:
    return [(g.verdicts, g.failures, g.flags) for g in grade_responses(items, time_limit_s=limit)]


@pytest.mark.slow
def test_a_response_gets_the_same_grade_in_every_batch():
    alone = [grades([item], 1.0)[0] for item in ITEMS]
    for order in itertools.islice(itertools.permutations(range(len(ITEMS))), 0, None, 40):
        together = grades([ITEMS[i] for i in order], 1.0)
        assert together == [alone[i] for i in order]


def test_a_refused_expression_of_the_right_value_is_named_so():
    graded = grade_responses([ITEMS[1], ITEMS[4]], time_limit_s=60)
    for one, grader in zip(graded, (GraderName.R1_ZERO, GraderName.DIAGNOSTIC), strict=True):
        assert one.verdicts[GraderName.LENIENT].right
        assert one.verdicts[GraderName.DIAGNOSTIC].right == (grader is GraderName.DIAGNOSTIC)
    assert graded[0].failures[GraderName.R1_ZERO] == "right_number_refused"
    assert graded[0].failures[GraderName.DIAGNOSTIC] == "right_number_refused"
