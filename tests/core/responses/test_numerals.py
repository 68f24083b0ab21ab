from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.responses import numerals
from core.responses.numerals import (
    find_numerals,
    holds_one_numeral,
    number_of,
    numerals_from_the_end,
)

# The verdict table: an answer, how many numerals it holds, and the value when it holds one.
VERDICTS = [
    ("7", 1, Fraction(7)),
    ("7.0", 1, Fraction(7)),
    ("$7", 1, Fraction(7)),
    ("\\$7", 1, Fraction(7)),
    ("$7$", 1, Fraction(7)),
    ("7%", 1, Fraction(7)),
    ("7\\%", 1, Fraction(7)),
    ("7.", 1, Fraction(7)),
    (".5", 1, Fraction(1, 2)),
    ("-7", 1, Fraction(-7)),
    ("−7", 1, Fraction(-7)),
    ("-$7", 1, Fraction(-7)),
    ("+7", 1, Fraction(7)),
    ("1,234", 1, Fraction(1234)),
    ("1,234,567.5", 1, Fraction(2469135, 2)),
    ("1{,}234", 1, Fraction(1234)),
    ("1\\,234", 1, Fraction(1234)),
    ("1e3", 1, Fraction(1000)),
    ("1E-2", 1, Fraction(1, 100)),
    ("3/4", 1, Fraction(3, 4)),
    ("-3 / 4", 1, Fraction(-3, 4)),
    ("1 1/2", 1, Fraction(3, 2)),
    ("-1 1/2", 1, Fraction(-3, 2)),
    ("\\frac{3}{4}", 1, Fraction(3, 4)),
    ("-\\dfrac{3}{4}", 1, Fraction(-3, 4)),
    ("\\frac34", 1, Fraction(3, 4)),
    ("1\\frac{1}{2}", 1, Fraction(3, 2)),
    ("\\boxed{7}", 1, Fraction(7)),
    ("\\text{7}", 1, Fraction(7)),
    ("7 apples", 1, Fraction(7)),
    ("7 cm^2", 1, Fraction(7)),
    ("7 cm^{2}", 1, Fraction(7)),
    ("7cm2", 1, Fraction(7)),
    ("7\\text{ dollars}", 1, Fraction(7)),
    ("The answer is 7", 1, Fraction(7)),
    ("The answer is -7", 1, Fraction(-7)),
    ("a 7-year-old", 1, Fraction(7)),
    ("well...5", 1, Fraction(5)),
    ("007", 1, Fraction(7)),
    ("3+4=7", 3, None),
    ("5-7", 2, None),
    ("5 - 7", 2, None),
    ("7 or 7", 2, None),
    ("7 = 7", 2, None),
    ("1,2", 2, None),
    ("(3, 4)", 2, None),
    ("10^6", 2, None),
    ("7:30", 2, None),
    ("1.2.3", 2, None),
    ("1/2/2024", 2, None),
    ("seven", 0, None),
    ("", 0, None),
    ("x", 0, None),
    ("٣", 1, Fraction(3)),
    ("７", 1, Fraction(7)),
    ("𝟕", 1, Fraction(7)),
    ("–7", 1, Fraction(-7)),
    ("－7", 1, Fraction(-7)),
    ("5–7", 2, None),
    ("½", 1, Fraction(1, 2)),
    ("1½", 1, Fraction(3, 2)),
    ("⅚", 1, Fraction(5, 6)),
    ("7 m²", 1, Fraction(7)),
    ("7 m^2", 1, Fraction(7)),
    ("7 million", 1, Fraction(7)),
    ("1_000", 2, None),
    ("1 000", 2, None),
    ("9" * 1000, 1, Fraction(10**1000 - 1)),
    ("9" * 1001, 1, None),
]


@pytest.mark.parametrize(("answer", "count", "value"), VERDICTS)
def test_count_and_value_of_an_answer(answer: str, count: int, value: Fraction | None):
    numerals = find_numerals(answer)
    assert len(numerals) == count
    assert holds_one_numeral(answer) == (count == 1)
    if count == 1:
        assert numerals[0].value == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        (" $1,234.50 ", Fraction(2469, 2)),
        ("\\$18", 18),
        ("-5", -5),
        ("50\\%", 50),
        ("10\\text{ cm}", 10),
        ("5 square feet", 5),
        ("90^\\circ", 90),
        ("\\boxed{\\frac{1}{2}}", Fraction(1, 2)),
        ("x=5", None),
        ("5x", None),
        ("2\\sqrt{3}", None),
        ("\\frac{\\pi}{2}", None),
        ("3, 4", None),
        ("x^2", None),
        ("Evelyn", None),
        ("the answer is 7", None),
    ],
)
def test_truth_is_numeric_only_when_nothing_else_is_said(text: str, value: object):
    assert number_of(text) == value


def test_spans_cover_the_sign_and_nothing_around():
    text = "it was -3.50 dollars, then 1 1/2"
    assert [text[n.start : n.end] for n in find_numerals(text)] == ["-3.50", "1 1/2"]


def test_division_by_zero_has_no_value():
    assert [n.value for n in find_numerals("3/0")] == [None]


def test_huge_exponent_has_no_value():
    assert [n.value for n in find_numerals("1e999999999")] == [None]


# Long enough that linear work takes under a second, and quadratic work far longer than the limit.
@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("9" * 300_000, 1),
        ("1," * 150_000, 150_000),
        ("1,234" * 60_000, 60_001),
        ("1 " * 150_000, 150_000),
        ("2 " * 150_000, 150_000),
        ("-" * 300_000, 0),
        (" -1" * 100_000, 100_000),
        ("1" + " " * 300_000 + "-1", 2),
        ("\\frac{" * 50_000, 0),
        ("1/" * 150_000, 75_000),
        ("." * 300_000, 0),
        ("{" * 300_000, 0),
        ("1.1" * 100_000, 50_001),
        ("1e" * 150_000, 75_000),
        ("cm^{" * 75_000 + "2", 0),
    ],
    ids=lambda value: repr(value[:8]) if isinstance(value, str) else "",
)
def test_texts_of_any_length_are_read_to_their_end(text: str, count: int):
    assert len(find_numerals(text)) == count
    assert holds_one_numeral(text) == (count == 1)


@given(st.text(alphabet="0123456789.,-+/eE \\fracdm{}$%x^", max_size=60))
def test_spans_are_ordered_and_disjoint(text: str):
    numerals = find_numerals(text)
    edges = [edge for n in numerals for edge in (n.start, n.end)]
    assert edges == sorted(edges)
    assert all(any(c.isdigit() for c in text[n.start : n.end]) for n in numerals)


@given(st.text(alphabet="0123456789.,-+/eE \\fracdm{}$%x^<>=*\n½٣−", max_size=80))
@settings(deadline=None, max_examples=400)
def test_read_from_the_end_they_are_the_same(text: str):
    assert tuple(numerals_from_the_end(text)) == find_numerals(text)[::-1]


def test_from_the_end_only_what_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch):
    read = []
    backwards = numerals._backwards

    def watched(text: str, start: int, end: int) -> Iterator[numerals.Numeral]:
        read.append(text[start:end])
        return backwards(text, start, end)

    monkeypatch.setattr(numerals, "_backwards", watched)
    last = next(numerals_from_the_end("1 + 2 = 3 and 3 * 4 = 12 <answer> 12 </answer>"))
    assert last.value == 12
    assert read == ["/answer", " 12 "]


@given(st.integers(-(10**12), 10**12))
def test_integers_read_back_plain_and_grouped(number: int):
    assert number_of(str(number)) == number
    assert number_of(f"{number:,}") == number
    assert number_of(f"${number}.00") == number or number < 0
