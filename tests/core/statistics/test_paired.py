"""Two sets of verdicts on the same problems."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from core.statistics import (
    PairedMethod,
    bootstrap_interval,
    compare_paired,
    compare_paired_shares,
    mcnemar_exact,
    minimum_detectable_difference,
)


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


@pytest.mark.slow
def test_mcnemar_rejects_a_true_hypothesis_in_at_most_5_percent():
    # exact: d discordant pairs, the gains of B binomial with 1/2
    for discordant in range(1, 301):
        gains = range(discordant + 1)
        rejected = [mcnemar_exact(discordant - b, b) <= 0.05 for b in gains]
        assert stats.binom.pmf(gains, discordant, 0.5)[rejected].sum() <= 0.05


def test_mcnemar_equals_statsmodels():
    from statsmodels.stats import contingency_tables as tables

    for a, b in [(0, 1), (3, 9), (40, 71)]:
        expected = tables.mcnemar([[50, a], [b, 60]], exact=True).pvalue
        assert mcnemar_exact(a, b) == pytest.approx(expected)


def shares(*values: float) -> dict[str, float]:
    return {f"p{i}": value for i, value in enumerate(values)}


def test_several_samples_count_as_one_problem_each():
    twice = compare_paired_shares(shares(0.5, 0.0, 1.0), shares(1.0, 0.5, 0.5))
    assert (twice.n, twice.only_a, twice.only_b) == (3, 1, 2)
    assert twice.method is PairedMethod.CLUSTERED
    # gaps 0.5, 0.5, -0.5: center 0.1, mean square (0.75 + 1) / 5, over 5
    error = math.sqrt((0.35 - 0.01) / 5)
    assert twice.p == pytest.approx(2 * stats.norm.sf(0.1 / error))
    assert twice.interval == pytest.approx((0.1 - 1.959964 * error, 0.1 + 1.959964 * error))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_test_at_a_bound_of_the_interval_has_a_p_of_5_percent(pairs: list[tuple[bool, bool]]):
    a, b = (shares(*(float(pair[side]) for pair in pairs)) for side in (0, 1))
    low, high = compare_paired_shares(a, b).interval
    for bound in (low, high):
        if -1 < bound < 1 and bound != 0:
            assert compare_paired_shares(a, b, bound).p == pytest.approx(0.05)


def test_no_difference_among_few_problems_is_no_proof_of_a_small_one():
    ten, thousand = (dict.fromkeys(map(str, range(n)), 1.0) for n in (10, 1000))
    assert compare_paired_shares(ten, ten, -0.025).p > 0.5
    assert compare_paired_shares(thousand, thousand, -0.025).p < 0.001


def test_bootstrap_interval_equals_the_quantiles_of_every_resample():
    a, b = shares(0, 0, 1, 1), shares(1, 0, 0.5, 1)
    gaps = [1, 0, -0.5, 0]
    means = sorted(sum(drawn) / 4 for drawn in itertools.product(gaps, repeat=4))
    low, high = bootstrap_interval(a, b, confidence=0.8, resamples=200_000)
    assert low == means[round(0.1 * len(means))]
    assert high == means[round(0.9 * len(means))]


def test_bootstrap_interval_agrees_with_the_normal_one_where_problems_are_many():
    a = {str(i): i % 7 < 3 for i in range(1319)}
    b = {str(i): i % 11 < 6 for i in range(1319)}
    low, high = bootstrap_interval(a, b)
    assert (low, high) == bootstrap_interval(a, b)
    assert (low, high) != bootstrap_interval(a, b, seed=1)
    assert (low, high) == pytest.approx(compare_paired(a, b).interval, abs=0.003)


@pytest.mark.parametrize(
    ("b", "options"),
    [({}, {}), ({"p0": 1.0}, {"confidence": 1.0}), ({"p0": 1.0}, {"resamples": 0})],
)
def test_bootstrap_refuses_nonsense(b: dict[str, float], options: dict[str, float]):
    with pytest.raises(ValueError, match="no bootstrap"):
        bootstrap_interval(shares(1.0), b, **options)
