"""Intervals of rates, and errors of means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.statistics import difference_interval, mean_and_standard_error, wilson_interval


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_equals_scipy(counts: tuple[int, int]):
    successes, n = counts
    expected = stats.binomtest(successes, n).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_by_hand():
    # 1 of 10 at z = 1.959964: center (0.1 + 0.192073) / 1.384146, half width 0.193134
    assert wilson_interval(1, 10) == pytest.approx((0.017876, 0.404150), abs=1e-5)


def test_wilson_interval_at_the_edges():
    assert wilson_interval(0, 10)[0] == 0.0
    assert wilson_interval(10, 10)[1] == 1.0
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_wilson_interval_grows_with_confidence():
    narrow, wide = wilson_interval(30, 100, 0.8), wilson_interval(30, 100, 0.99)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


@pytest.mark.parametrize(("successes", "n", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1)])
def test_wilson_interval_refuses_nonsense(successes: int, n: int, confidence: float):
    with pytest.raises(ValueError, match="no interval"):
        wilson_interval(successes, n, confidence)


def test_mean_and_standard_error():
    mean, error = mean_and_standard_error([0.6, 0.7, 0.8])
    assert mean == pytest.approx(0.7)
    assert error == pytest.approx(stats.sem([0.6, 0.7, 0.8]))
    assert mean_and_standard_error([0.6]) == (0.6, None)
    with pytest.raises(ValueError, match="no values"):
        mean_and_standard_error([])


def test_wilson_interval_covers_as_promised_at_128():
    # exact: the binomial probability of every count whose interval holds the truth
    n = 128
    bounds = [wilson_interval(k, n) for k in range(n + 1)]
    truths = [i / 200 for i in range(10, 191)]
    coverage = []
    for truth in truths:
        held = [low <= truth <= high for low, high in bounds]
        coverage.append(float(stats.binom.pmf(range(n + 1), n, truth)[held].sum()))
    assert min(coverage) >= 0.936
    assert max(coverage) <= 0.973


def test_wilson_interval_equals_statsmodels():
    from statsmodels.stats import proportion

    for successes, n in [(0, 5), (3, 17), (640, 1319), (128, 128)]:
        expected = proportion.proportion_confint(successes, n, method="wilson")
        assert wilson_interval(successes, n) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        # Newcombe 1998, table II, method 10
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_difference_interval_equals_the_published_ones(
    counts: tuple[int, int, int, int], expected: tuple[float, float]
):
    assert difference_interval(*counts) == pytest.approx(expected, abs=5e-5)


def test_difference_interval_turns_round_with_its_sides():
    low, high = difference_interval(56, 70, 48, 80)
    assert difference_interval(48, 80, 56, 70) == pytest.approx((-high, -low))


def test_difference_interval_needs_trials():
    with pytest.raises(ValueError, match="without trials"):
        difference_interval(0, 0, 1, 2)
