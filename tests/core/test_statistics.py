import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.statistics import (
    compare_paired,
    holm,
    length_summary,
    mcnemar_exact,
    mean_and_standard_error,
    minimum_detectable_difference,
    wilson_interval,
)


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


@pytest.mark.parametrize(("a", "b"), list(itertools.product(range(6), repeat=2)))
def test_mcnemar_equals_enumeration_of_all_coin_flips(a: int, b: int):
    n = a + b
    flips = itertools.product((0, 1), repeat=n)
    extreme = sum(abs(2 * sum(flip) - n) >= abs(a - b) for flip in flips)
    assert mcnemar_exact(a, b) == pytest.approx(extreme / 2**n)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_equals_the_binomial_test(a: int, b: int):
    expected = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert mcnemar_exact(a, b) == pytest.approx(expected)
    assert mcnemar_exact(a, b) == mcnemar_exact(b, a)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 3)


def test_paired_comparison_uses_shared_problems():
    a = {"1": True, "2": True, "3": False, "4": False, "only-a": True}
    b = {"1": True, "2": False, "3": True, "4": True, "only-b": False}
    compared = compare_paired(a, b)
    assert (compared.n, compared.only_a, compared.only_b) == (4, 1, 2)
    assert compared.difference == pytest.approx(0.25)
    assert compared.p == mcnemar_exact(1, 2)


def test_interval_of_the_difference_by_hand():
    # 10 and 30 discordant of 100: center 20 / 102, variance (41 - 400 / 102) / 102**2
    a = {str(i): i < 10 for i in range(100)}
    b = {str(i): 10 <= i < 40 for i in range(100)}
    half = 1.959964 * math.sqrt(41 - 400 / 102) / 102
    expected = (20 / 102 - half, 20 / 102 + half)
    assert compare_paired(a, b).interval == pytest.approx(expected, abs=1e-6)


def test_interval_of_the_difference_covers_as_promised():
    # Exact coverage: sum the trinomial probabilities of the tables whose interval holds the truth.
    n, p_a, p_b = 60, 0.1, 0.2
    covered = 0.0
    for only_a, only_b in itertools.product(range(n + 1), repeat=2):
        if only_a + only_b <= n:
            a = {str(i): i < only_a for i in range(n)}
            b = {str(i): only_a <= i < only_a + only_b for i in range(n)}
            low, high = compare_paired(a, b).interval
            if low <= p_b - p_a <= high:
                counts = [only_a, only_b, n - only_a - only_b]
                covered += stats.multinomial.pmf(counts, n, [p_a, p_b, 1 - p_a - p_b])
    assert 0.93 < covered < 0.98


def test_paired_comparison_of_nothing():
    compared = compare_paired({"a": True}, {"b": True})
    assert (compared.n, compared.difference, compared.p) == (0, 0.0, 1.0)
    assert compared.interval == (-1.0, 1.0)


@given(st.dictionaries(st.integers(0, 40).map(str), st.tuples(st.booleans(), st.booleans())))
def test_paired_comparison_is_antisymmetric(pairs: dict[str, tuple[bool, bool]]):
    a = {key: pair[0] for key, pair in pairs.items()}
    b = {key: pair[1] for key, pair in pairs.items()}
    there, back = compare_paired(a, b), compare_paired(b, a)
    assert there.difference == -back.difference
    assert there.p == back.p
    low, high = there.interval
    assert low <= there.difference <= high
    assert back.interval == pytest.approx((-high, -low))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_order(p_values: list[float]):
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, len(p_values) * raw)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_holm_refuses_what_is_no_p_value():
    with pytest.raises(ValueError, match="p-values"):
        holm([0.5, 1.5])


def test_minimum_detectable_difference_by_hand():
    assert minimum_detectable_difference(100, 400) == pytest.approx(2.8 * math.sqrt(0.25 / 400))


def test_minimum_detectable_difference_is_found_with_80_percent_power():
    n, discordant = 1319, 264
    found = minimum_detectable_difference(discordant, n)
    toward_b = 0.5 + found * n / discordant / 2
    power = sum(
        stats.binom.pmf(b, discordant, toward_b)
        for b in range(discordant + 1)
        if mcnemar_exact(discordant - b, b) < 0.05
    )
    assert 0.75 < power < 0.85


@pytest.mark.parametrize(("discordant", "n"), [(0, 0), (5, 4), (-1, 4)])
def test_minimum_detectable_difference_refuses_nonsense(discordant: int, n: int):
    with pytest.raises(ValueError, match="no detectable difference"):
        minimum_detectable_difference(discordant, n)


def test_mean_and_standard_error():
    mean, error = mean_and_standard_error([0.6, 0.7, 0.8])
    assert mean == pytest.approx(0.7)
    assert error == pytest.approx(stats.sem([0.6, 0.7, 0.8]))
    assert mean_and_standard_error([0.6]) == (0.6, None)
    with pytest.raises(ValueError, match="no values"):
        mean_and_standard_error([])


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=80))
def test_length_summary_equals_numpy(values: list[int]):
    import numpy as np

    summary = length_summary(values)
    assert summary.mean == pytest.approx(np.mean(values))
    percentiles = np.percentile(values, [50, 90, 99])
    assert (summary.p50, summary.p90, summary.p99) == pytest.approx(tuple(percentiles))
    counts, _ = np.histogram(values, bins=summary.bin_edges)
    assert list(summary.counts) == list(counts)
    assert sum(summary.counts) == summary.n == len(values)
    assert len(summary.counts) <= 20


def test_length_summary_of_nothing():
    summary = length_summary([])
    assert (summary.n, summary.mean, summary.counts) == (0, 0.0, ())
