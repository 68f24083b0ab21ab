"""Several samples per problem, against enumeration and textbook formulas."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics import clustered_rate, majority_vote, pass_at_k, wilson_interval

COUNTS = st.integers(1, 8).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@pytest.mark.parametrize(("n", "right"), [(n, c) for n in range(1, 7) for c in range(n + 1)])
def test_pass_at_k_is_the_share_of_subsets_with_a_right_sample(n: int, right: int):
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(range(n), k))
        hits = sum(any(sample < right for sample in subset) for subset in subsets)
        assert pass_at_k(n, right, k) == float(Fraction(hits, len(subsets)))


def test_pass_at_k_neither_overflows_nor_cancels():
    assert pass_at_k(100_000, 1, 1) == 1e-5
    assert pass_at_k(4096, 2048, 1024) == 1.0
    small = pass_at_k(10_000, 1, 3)
    assert small == pytest.approx(3e-4, rel=1e-15)


def test_pass_at_k_is_unbiased():
    n, k, truth = 8, 3, 0.3
    expected = sum(
        math.comb(n, c) * truth**c * (1 - truth) ** (n - c) * pass_at_k(n, c, k)
        for c in range(n + 1)
    )
    assert expected == pytest.approx(1 - (1 - truth) ** k)


@pytest.mark.parametrize(("n", "right", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_nonsense(n: int, right: int, k: int):
    with pytest.raises(ValueError, match="no pass@"):
        pass_at_k(n, right, k)


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        (["7", "8", "8"], "8"),
        (["7", "8", "8", "7"], "7"),
        ([None, None, "3"], "3"),
        ([None], None),
        ([], None),
    ],
)
def test_majority_vote(answers: list[str | None], winner: str | None):
    assert majority_vote(answers) == winner


@given(st.lists(st.sampled_from([1, 2, 3, None]), min_size=1))
def test_the_winner_has_the_most_votes_and_stands_first_among_equals(answers: list[int | None]):
    winner = majority_vote(answers)
    for other in {answer for answer in answers if answer is not None} - {winner}:
        ahead = answers.count(winner) - answers.count(other)
        assert ahead > 0 or (ahead == 0 and answers.index(winner) < answers.index(other))


def test_equal_numbers_of_samples_give_the_error_of_the_mean_over_problems():
    counts = [(0, 4), (4, 4), (3, 4), (1, 4), (2, 4)]
    found = clustered_rate(counts)
    means = [right / asked for right, asked in counts]
    assert found.rate == pytest.approx(np.mean(means))
    assert found.standard_error == pytest.approx(np.std(means, ddof=1) / math.sqrt(5))


@pytest.mark.slow
def test_clustered_error_equals_statsmodels():
    import statsmodels.api as api

    counts = [(0, 2), (4, 5), (3, 4), (1, 3), (2, 4)]
    outcomes = [int(i < right) for right, asked in counts for i in range(asked)]
    groups = [g for g, (_, asked) in enumerate(counts) for _ in range(asked)]
    fit = api.OLS(outcomes, np.ones(len(outcomes))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    expected = fit.bse[0] * math.sqrt(5 / 4)
    assert clustered_rate(counts).standard_error == pytest.approx(expected)


def test_one_sample_each_is_the_plain_interval():
    found = clustered_rate([(1, 1)] * 30 + [(0, 1)] * 70)
    assert found.interval == wilson_interval(30, 100)


def test_identical_samples_are_worth_one_per_problem():
    found = clustered_rate([(8, 8)] * 30 + [(0, 8)] * 70)
    assert found.effective == pytest.approx(99)
    assert found.interval == pytest.approx(wilson_interval(30, 100), abs=0.002)


@pytest.mark.parametrize("right", [0, 8])
def test_without_spread_each_problem_counts_once(right: int):
    found = clustered_rate([(right, 8)] * 20)
    assert found.interval == wilson_interval(20 * right / 8, 20)


def test_nothing_asked_is_nothing_known():
    assert clustered_rate([]).interval == clustered_rate([(0, 0)]).interval == (0.0, 1.0)


@pytest.mark.slow
@given(st.lists(COUNTS, min_size=1, max_size=30))
def test_the_rate_lies_in_its_interval_and_clusters_only_widen_it(counts: list[tuple[int, int]]):
    found = clustered_rate(counts)
    low, high = found.interval
    assert 0 <= low <= found.rate + 1e-12
    assert found.rate - 1e-12 <= high <= 1
    narrow = wilson_interval(sum(right for right, _ in counts), found.samples)
    assert high - low >= narrow[1] - narrow[0] - 1e-9


def test_clustered_interval_covers_as_promised_where_problems_differ():
    rng = np.random.default_rng(3)
    held = []
    for _ in range(1500):
        difficulty = rng.beta(0.6, 0.9, size=100)
        low, high = clustered_rate([(int(r), 4) for r in rng.binomial(4, difficulty)]).interval
        held.append(low <= 0.4 <= high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_more_right_samples_than_samples_are_refused():
    with pytest.raises(ValueError, match="right samples"):
        clustered_rate([(3, 2)])
