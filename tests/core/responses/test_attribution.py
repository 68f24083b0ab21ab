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
    result = attribute(a, b)
    assert result.n == 5
    assert [(row.cause, row.gained, row.lost, row.net) for row in result.rows] == [
        (Cause.FORMAT, 1, 0, 1),
        (Cause.TRUNCATION, 1, 1, 0),
        (Cause.MATH, 1, 0, 1),
    ]
    assert result.difference == 2 / 5


def test_nothing_shared_is_no_difference():
    assert attribute({"a": WRONG}, {"b": RIGHT}).difference == 0


OUTCOMES = st.dictionaries(
    st.sampled_from("abcdefgh"), st.sampled_from([RIGHT, UNFORMATTED, CUT, WRONG])
)


@given(OUTCOMES, OUTCOMES)
def test_rows_add_up_to_the_difference(a: dict[str, Outcome], b: dict[str, Outcome]):
    shared = a.keys() & b.keys()
    expected = sum(b[key].right for key in shared) - sum(a[key].right for key in shared)
    assert attribute(a, b).net == expected
