"""Oddities of the course's grader, as seen by running it; each line is one of its verdicts."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.responses.equality import _plain_double, course_equal, last_boxed, quick_equal
from core.responses.mathd import mathd_normal_form
from core.responses.symbolic_worker import SympySymbolic

DECIDED_HERE = [
    ("7", "7", True),
    (" 7 ", "7", True),
    ("7.0", "7", True),
    ("$7", "7", True),
    ("7%", "7", True),
    ("7.", "7", True),
    ("07", "7", True),
    ("+7", "7", True),
    ("1e3", "1000", True),
    ("1_000", "1000", True),
    ("1,000", "1000", True),
    ("7 apples", "7", True),
    ("7 toys", "7", True),
    ("7 dollars", "7", False),
    ("7 books", "7", False),
    ("7 hours", "7", True),
    ("x = 7", "7", True),
    ("total = 7", "7", False),
    ("The answer is 7", "7", False),
    ("7 = 7", "7", True),
    ("77=7", "7", True),
    ("777 = 7", "7", False),
    ("7 million", "7000000", False),
    ("3+4", "7", False),
    ("14/2", "7", False),
    ("8", "7", False),
    ("seven", "7", False),
    ("", "7", False),
    ("0.5", "\\frac{1}{2}", True),
    ("1/2", "\\frac{1}{2}", True),
    ("0.25", "1/4", True),
    ("2/4", "1/2", False),
    ("(1,2)", "(1, 2)", True),
    ("[1,2]", "(1,2)", False),
    ("(2,1)", "(1,2)", False),
    ("EVELYN", "Evelyn", True),
    ("7 or 8", "7 and 8", True),
]
DECIDED_BY_SYMPY = [
    ("0.75", "\\frac{3}{4}", True),
    ("x+1", "1+x", True),
    ("2(x+1)", "2x+2", True),
    ("1+x", "x+2", False),
    ("\\sqrt{12}", "2\\sqrt{3}", True),
    ("\\frac{6}{8}", "\\frac{3}{4}", False),
    ("1 1/2", "3/2", True),
    ("\\pi/2", "\\frac{\\pi}{2}", True),
    ("(1/2, x)", "(0.5, x)", True),
    ("\\text{seven", "7.5", False),
    ('"7.5"', "7.5", False),
    ("().a", "x+1", False),
]


@pytest.mark.parametrize(("answer", "truth", "equal"), DECIDED_HERE)
def test_plain_answers_need_no_worker(answer: str, truth: str, equal: bool):
    assert quick_equal(answer, truth) is equal


@pytest.mark.parametrize(("answer", "truth", "equal"), DECIDED_BY_SYMPY)
def test_expressions_are_compared_by_value(answer: str, truth: str, equal: bool):
    assert course_equal(answer, truth, SympySymbolic()) is equal


@given(
    st.sampled_from(["0", "7", "07", "-7", "-0", "+7", " 7\n", "7.0", "1,000", "1000", "9" * 15]),
    st.sampled_from(["0", "7", "-7", "7 ", "1000", "9" * 15, "9" * 14 + "8", "9" * 16]),
)
@settings(deadline=None)
def test_shortcut_for_small_integers_agrees_with_the_full_comparison(answer: str, truth: str):
    assert quick_equal(answer, truth) in (None, course_equal(answer, truth, SympySymbolic()))


def test_truth_in_a_box_is_unpacked():
    assert quick_equal("7", "so it is \\boxed{7}") is True
    assert quick_equal("7", "\\boxed 7") is False


def test_long_answers_are_left_to_the_worker():
    assert quick_equal("9" * 1000, "7") is None


PLAIN = st.from_regex(r"-?(0|[1-9][0-9]{0,3})(\.[0-9]{1,3}|/[1-9][0-9]?)?", fullmatch=True)


@pytest.mark.slow
@given(PLAIN, PLAIN)
@settings(deadline=None, max_examples=150)
def test_shortcut_for_plain_numbers_agrees_with_sympy(answer: str, truth: str):
    shortcut = (_plain_double(answer), _plain_double(truth))
    assert None not in shortcut
    assert (shortcut[0] == shortcut[1]) == SympySymbolic().is_zero(f"({truth})-({answer})")


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("\\boxed{7}", "7"),
        ("\\boxed{1} and \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}"),
        ("\\boxed{7", None),
        ("\\boxed 7", None),
        ("7", None),
    ],
)
def test_content_of_the_last_box(text: str, inside: str | None):
    assert last_boxed(text) == inside


@pytest.mark.parametrize(
    ("answer", "normal"),
    [
        ("\\text{east}", "east"),
        ("10 \\text{ cm}", "10"),
        ("5 m", "5"),
        ("\\frac12", "\\frac{1}{2}"),
        ("\\dfrac1{2}", "\\frac{1}{2}"),
        ("\\sqrt3", "\\sqrt{3}"),
        ("3/4", "\\frac{3}{4}"),
        ("-3/4", "\\frac{-3}{4}"),
        ("03/4", "03/4"),
        ("0.5", "\\frac{1}{2}"),
        (".25", "0.25"),
        ("k = 4", "4"),
        ("1 \\frac", "1 \\frac"),
        ("50\\%", "50"),
        ("90^\\circ", "90"),
        ("7 a 5 cm", "7"),
    ],
)
def test_mathd_normal_form(answer: str, normal: str):
    assert mathd_normal_form(answer) == normal
