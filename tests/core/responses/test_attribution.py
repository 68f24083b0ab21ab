from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.responses.attribution import Cause, Outcome, attribute

RIGHT = Outcome(right=True, lenient_right=True, capped=False)
UNFORMATTED = Outcome(right=False, lenient_right=True, capped=True)
CUT = Outcome(right=False, lenient_right=False, capped=True)
WRONG = Outcome(right=False, lenient_right=False, capped=False)


def test_each_cause_is_read_off_the_wrong_side():
    a = {"f": UNFORMATTED, "t": CUT, "m": WRONG, "lost": RIGHT, "same": RIGHT, "only-a": WRONG}
    b = {"f": RIGHT, "t": RIGHT, "m": RIGHT, "lost": CUT, "same": RIGHT, "only-b": RIGHT}
    result = attribute(single(a), single(b))
    assert result.n == 5
    assert [(row.cause, row.gained, row.lost, row.net) for row in result.rows] == [
        (Cause.FORMAT, 1, 0, 1),
        (Cause.TRUNCATION, 1, 1, 0),
        (Cause.MATH, 1, 0, 1),
    ]
    assert result.difference == 2 / 5


def test_nothing_shared_is_no_difference():
    assert attribute({"a": [WRONG]}, {"b": [RIGHT]}).difference == 0


def test_samples_of_a_problem_count_as_parts_of_it():
    result = attribute({"p": [CUT, WRONG]}, {"p": [RIGHT, WRONG]})
    rows = {row.cause: (row.gained, row.lost) for row in result.rows}
    assert rows == {
        Cause.FORMAT: (0, 0),
        Cause.TRUNCATION: (Fraction(1, 4), 0),
        Cause.MATH: (Fraction(1, 4), 0),
    }
    assert result.difference == 1 / 2


def test_the_order_of_samples_does_not_matter():
    a, b = [CUT, RIGHT, WRONG], [RIGHT, UNFORMATTED]
    assert attribute({"p": a}, {"p": b}) == attribute({"p": a[::-1]}, {"p": b[::-1]})


def test_as_many_right_on_both_sides_is_no_difference_and_still_shows_what_changed():
    result = attribute({"p": [RIGHT, CUT]}, {"p": [WRONG, RIGHT]})
    assert result.net == 0
    assert [row.net for row in result.rows] == [0, Fraction(1, 4), Fraction(-1, 4)]


def single(outcomes: dict[str, Outcome]) -> dict[str, list[Outcome]]:
    return {problem: [outcome] for problem, outcome in outcomes.items()}


OUTCOMES = st.dictionaries(
    st.sampled_from("abcdefgh"),
    st.lists(st.sampled_from([RIGHT, UNFORMATTED, CUT, WRONG]), min_size=1, max_size=5),
)


def share(outcomes: list[Outcome]) -> Fraction:
    return Fraction(sum(outcome.right for outcome in outcomes), len(outcomes))


@pytest.mark.slow
@given(OUTCOMES, OUTCOMES)
def test_rows_add_up_to_the_difference(a: dict[str, list[Outcome]], b: dict[str, list[Outcome]]):
    shared = a.keys() & b.keys()
    result = attribute(a, b)
    assert result.net == sum(share(b[key]) - share(a[key]) for key in shared)
    assert sum(row.net for row in result.rows) == result.net
    assert all(row.gained >= 0 and row.lost >= 0 for row in result.rows)
    assert result.n == len(shared)
