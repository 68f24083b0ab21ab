"""Student's interval of a mean, against SciPy."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.statistics.student import mean_interval, t_quantile


@given(st.integers(1, 200), st.floats(0.01, 0.999))
@settings(max_examples=60, deadline=None)
def test_quantiles_are_those_of_scipy(degrees: int, confidence: float) -> None:
    expected = stats.t.ppf((1 + confidence) / 2, degrees)
    assert t_quantile(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_an_interval_of_a_mean_is_that_of_scipy() -> None:
    values = [0.41, 0.44, 0.39, 0.5]
    low, high = stats.t.interval(0.95, 3, sum(values) / 4, stats.sem(values))
    assert mean_interval(values) == (pytest.approx(low), pytest.approx(high))


def test_one_value_has_no_interval_and_nonsense_is_refused() -> None:
    assert mean_interval([0.4]) is None
    assert mean_interval([0.4, 0.4]) == (0.4, 0.4)
    for degrees, confidence in ((0, 0.95), (3, 1.0), (3, 0.0)):
        with pytest.raises(ValueError, match="no t quantile"):
            t_quantile(degrees, confidence)
