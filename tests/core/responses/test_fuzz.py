"""Grading survives whatever it is given: damaged responses, noise, control characters."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a5ctl.console import plain, printable
from benchmarks.ordinary import Solved, ordinary_responses, read_solved
from core.engines.base import FinishReason
from core.responses.failures import is_degenerate
from core.responses.grade import GradedText, GradingItem, grade_responses
from core.responses.names import FailureClass, FailureFlag, GraderName
from core.responses.parse import parse_response
from tests.core.responses.mutations import NOISE, fuzzed

GSM8K = Path(__file__).parents[4] / "shared/data/gsm8k/test.jsonl"
MADE_UP = [
    Solved("Ann has 12 eggs and eats 5. How many are left?", "12 - 5 = 7 eggs are left.", "7"),
    Solved("A car costs $1,234. What do 2 cost?", "Two cost 2 * $1,234 = $2,468.", "2468"),
    Solved("How much is half of 37?", "Half of 37 is 37 / 2 = 18.5.", "18.5"),
    Solved("What is 3 less than 0?", "3 less than 0 is 0 - 3 = -3.", "-3"),
]
LIMIT_S = 1.0


def ordinary(n: int) -> list[GradingItem]:
    problems = read_solved([GSM8K]) if GSM8K.is_file() else MADE_UP
    return [response.item for response in ordinary_responses(problems, n)]


def assert_consistent(item: GradingItem, graded: GradedText) -> None:
    verdicts = graded.verdicts
    r1_zero, strict, lenient = (
        verdicts[name] for name in (GraderName.R1_ZERO, GraderName.STRICT, GraderName.LENIENT)
    )
    assert set(verdicts) == set(graded.failures) == set(GraderName) - {GraderName.MULTIPLE_CHOICE}
    for name, verdict in verdicts.items():
        assert (graded.failures[name] is None) == verdict.right, (item, name)
        assert verdict.formatted or not verdict.right, (item, name)
        assert not (verdict.timed_out and verdict.right), (item, name)
    assert strict.right <= r1_zero.right <= lenient.right, item
    assert graded.closed or not strict.formatted, item
    assert (FailureFlag.RIGHT_BY_R1_ZERO in graded.flags) == r1_zero.right, item


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_any_text_is_graded_consistently(seed: int):
    items = list(fuzzed(ordinary(2_000), 5_000, seed, bomb_rate=0))
    classes = set()
    for item, graded in zip(items, grade_responses(items, time_limit_s=LIMIT_S), strict=True):
        assert_consistent(item, graded)
        classes.update(graded.failures.values())
    # The mutations reach every class; a time-out needs a bomb.
    assert classes >= {None, *FailureClass} - {FailureClass.GRADER_TIMEOUT}


@pytest.mark.slow
def test_bombs_end_at_the_limit_and_count_as_wrong():
    items = list(fuzzed(ordinary(1), 3, seed=1, bomb_rate=1))
    for item, graded in zip(items, grade_responses(items, time_limit_s=LIMIT_S), strict=True):
        assert_consistent(item, graded)
        assert graded.verdicts[GraderName.R1_ZERO].timed_out, item
        assert graded.failures[GraderName.R1_ZERO] is FailureClass.GRADER_TIMEOUT


@pytest.mark.slow
@given(
    st.text(alphabet="ab c", min_size=1, max_size=150).map(str.strip).filter(bool),
    st.integers(4, 80),
    st.text(alphabet="ab c", max_size=30),
    st.sampled_from(["", " ", "</think> <answer> 7 </answer>"]),
)
@settings(deadline=None, max_examples=300)
def test_every_loop_at_the_end_of_a_part_is_seen(unit: str, times: int, start: str, end: str):
    loop = unit * max(times, -(-60 // len(unit)))
    assert is_degenerate(parse_response(start + loop + end))


@pytest.mark.slow
def test_grading_one_by_one_and_together_is_the_same():
    items = list(fuzzed(ordinary(50), 150, seed=5, bomb_rate=0))
    together = grade_responses(items, time_limit_s=60)
    alone = [grade_responses([item], time_limit_s=60)[0] for item in items]
    assert together == alone


def test_ordinary_responses_are_what_they_are_called():
    made = ordinary_responses(read_solved([GSM8K]) if GSM8K.is_file() else MADE_UP, 500)
    assert made == ordinary_responses(read_solved([GSM8K]) if GSM8K.is_file() else MADE_UP, 500)
    graded = grade_responses([one.item for one in made])
    expected = {
        "plain number": None,
        "$18": None,
        "boxed": None,
        "unclosed": FailureClass.UNCLOSED_ANSWER,
        "another separator": FailureClass.BAD_SEPARATOR,
        "no tags": FailureClass.STOPPED_WITHOUT_ANSWER,
        "wrong number": FailureClass.WRONG_NUMBER,
        "truncated": FailureClass.TRUNCATED_THINKING,
    }
    for one, found in zip(made, graded, strict=True):
        if one.form in expected:
            assert found.failures[GraderName.R1_ZERO] is expected[one.form], one.item


@pytest.mark.parametrize("noise", NOISE, ids=ascii)
def test_noise_is_graded_and_leaves_no_control_character(noise: str):
    text = f" six {noise} seven {noise}</think> <answer> 7{noise} </answer>"
    (graded,) = grade_responses([GradingItem(text, "7", FinishReason.STOP_STRING)])
    assert_consistent(GradingItem(text, "7"), graded)
    for shown in (text, graded.verdicts[GraderName.R1_ZERO].extracted or ""):
        assert all(char in "\n\t" or char.isprintable() for char in printable(shown))
        assert plain(shown).plain == printable(shown)
        assert plain(shown).spans == []


@pytest.mark.slow
def test_fuzzed_texts_leave_no_control_character():
    for item in fuzzed(ordinary(200), 2_000, seed=9, bomb_rate=0):
        shown = printable(item.text[:2_000])
        assert all(char in "\n\t" or char.isprintable() for char in shown)
        assert not set(shown) & {"\u202e", "\u2066", "\u200f", "\x1b", "\x9b", "\0"}
        shown.encode("utf-8")
