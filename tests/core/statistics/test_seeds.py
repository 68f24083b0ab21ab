"""The crossed-effects test: by hand, by symmetry, and by simulation of true hypotheses."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special, stats

from core.statistics import MIN_SEEDS, compare_across_seeds
from core.statistics.seeds import crossed, seeds_to_find
from tests.core.statistics.crossed_reference import crossed_tables

Rng = np.random.Generator


def table(gaps: Any) -> tuple[dict[int, dict[str, float]], dict[int, dict[str, float]]]:
    """Shares of A and B whose difference is `gaps` (seeds x problems)."""
    low = {s: {f"p{p}": max(0.0, -g) for p, g in enumerate(row)} for s, row in enumerate(gaps)}
    high = {s: {f"p{p}": max(0.0, g) for p, g in enumerate(row)} for s, row in enumerate(gaps)}
    return low, high


def test_figures_by_hand():
    gaps = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [1, -1, 0, 1]], dtype=float)
    found = compare_across_seeds(*table(gaps))
    assert found.by_seed == pytest.approx((0.5, 0.25, 0.25))
    assert found.difference == pytest.approx(1 / 3)
    center, v1 = 4 / 3 / 6, np.var([0.5, 0.25, 0.25], ddof=1) / 3
    v2 = ((1 + 1 / 9 + 4 / 9 + 1) / 6 - center**2) / 6
    fitted = gaps.mean(0) + gaps.mean(1)[:, None] - gaps.mean()
    v3 = ((gaps - fitted) ** 2).sum() / 6 / 12
    variance = max(v1 + v2 - v3, v1, v2)
    assert found.standard_error == pytest.approx(math.sqrt(variance))

    def critical(level: float) -> float:
        few, many = stats.t.isf(level / 2, 2), stats.t.isf(level / 2, 3)
        return (v1 * few + (variance - v1) * many) / variance

    statistic = center / math.sqrt(variance)
    expected = optimize.brentq(lambda level: critical(level) - statistic, 1e-6, 1)
    assert found.p == pytest.approx(expected)
    half = critical(0.05) * math.sqrt(variance)
    assert found.interval == pytest.approx((max(-1, center - half), min(1, center + half)))


@given(
    st.integers(3, 6), st.integers(2, 300), st.floats(0, 0.4), st.floats(0, 1), st.integers(0, 99)
)
@settings(max_examples=40, deadline=None)
def test_one_table_has_the_figures_of_one_of_many(
    seeds: int, problems: int, lean: float, spread: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    gaps = (rng.random((seeds, problems)) < 0.1 + 0.5 * lean).astype(float)
    gaps -= rng.random((seeds, 1)) < spread  # some seeds lose everything that others gain
    one, many = crossed(gaps.tolist()), crossed_tables(gaps[None])
    assert one.center == pytest.approx(many.center[0], rel=1e-9)
    assert one.standard_error == pytest.approx(many.standard_error[0], rel=1e-9)
    assert one.seed_share == pytest.approx(many.seed_share[0], rel=1e-9, abs=1e-12)
    assert one.critical == pytest.approx(many.critical[0], rel=1e-9)
    assert one.p == pytest.approx(many.p[0], rel=1e-3, abs=1e-11)


def test_a_difference_of_seeds_alone_is_student_s_t():
    # the same gap on every problem: seeds are the only sample there is
    gaps = np.repeat([[0.02], [0.05], [0.08]], 5000, axis=1)
    expected = stats.ttest_1samp([0.02, 0.05, 0.08], 0).pvalue
    assert crossed(gaps).p == pytest.approx(expected, rel=0.01)


def test_problems_seen_alike_by_every_seed_count_once():
    once = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], p=[0.08, 0.8, 0.12], size=1319)
    found = crossed(np.tile(once, (3, 1)))
    assert found.seed_share == pytest.approx(0)
    assert found.p == pytest.approx(stats.ttest_1samp(once, 0).pvalue, rel=0.03)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_swapping_the_settings_turns_the_sign_only(seed: int):
    gaps = np.random.default_rng(seed).choice([-1.0, 0.0, 0.5, 1.0], size=(3, 12))
    a, b = table(gaps)
    there, back = compare_across_seeds(a, b), compare_across_seeds(b, a)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p == pytest.approx(back.p)
    assert there.interval == pytest.approx((-back.interval[1], -back.interval[0]))


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_interval_and_p_value_agree(seed: int):
    rng = np.random.default_rng(seed)
    gaps = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.6, 0.3], size=(4, 30))
    a, b = table(gaps)
    for bound in compare_across_seeds(a, b).interval:
        if abs(bound) < 1:
            assert compare_across_seeds(a, b, bound).p == pytest.approx(0.05, rel=1e-6)


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_as_many_seeds_are_needed_as_find_the_difference(seed: int):
    rng = np.random.default_rng(seed)
    gaps = rng.choice([-1.0, 0.0, 1.0], p=[0.1, 0.7, 0.2], size=(5, 30)) + rng.normal(0, 1, (5, 1))
    one, found = compare_across_seeds(*table(gaps)), crossed(gaps.tolist())
    rest = (found.standard_error, found.seed_share, 5, 30)
    enough = seeds_to_find(one.detectable + 1e-9, *rest)
    assert enough is not None
    assert enough <= 5
    more = seeds_to_find(one.detectable - 1e-9, *rest)
    assert more is None or more > 5


def test_the_seeds_that_are_needed_give_the_power():
    rng, problems, difference, spread, noise = np.random.default_rng(3), 400, 0.1, 0.08, 0.4
    over_seeds = (spread**2 + noise**2 / problems) / 3
    error = over_seeds**0.5
    needed = seeds_to_find(difference, error, 1.0, 3, problems)
    assert needed is not None
    tables = difference + rng.normal(0, spread, (400, needed, 1))
    tables = tables + rng.normal(0, noise, (400, needed, problems))
    assert 0.75 < np.mean(crossed_tables(tables).p < 0.05) < 0.95


def test_only_shared_seeds_and_problems_count():
    a, b = table(np.tile([1.0, 0.0, 1.0], (4, 1)))
    del a[3], b[0]["p1"]
    found = compare_across_seeds(a, b)
    assert found.seeds == (0, 1, 2)
    assert found.problems == 2


def test_fewer_than_three_paired_seeds_say_nothing_about_a_setting():
    a, b = table(np.ones((3, 20)))
    del b[1]
    with pytest.raises(ValueError, match="2 paired seeds"):
        compare_across_seeds(a, b)
    assert MIN_SEEDS == 3


def test_no_difference_anywhere_is_no_certainty():
    a, b = table(np.zeros((3, 10)))
    assert compare_across_seeds(a, b).p == 1.0
    assert compare_across_seeds(a, b, -0.025).p > 0.5


def verdicts(rng: Rng, shape: tuple[int, int, int], spread: dict[str, float]) -> Any:
    """Gaps of two settings of one accuracy: seed effects, tastes for problems, coin flips.

    Both settings draw from the same distribution, so that the mean gap is none.
    """
    many, seeds, problems = shape
    difficulty = rng.normal(spread.get("mean", 0.0), 2.0, (many, 1, problems)).astype("float32")
    sides = []
    for _ in range(2):
        by_seed = rng.normal(0, spread["seed"], (many, seeds, 1)).astype("float32")
        taste = rng.normal(0, spread["taste"], (many, 1, problems)).astype("float32")
        chance = special.expit((difficulty + by_seed + taste) * spread["sharp"])
        sides.append(rng.random((many, seeds, problems), dtype="float32") < chance)
    return sides[1].astype("float32") - sides[0].astype("float32")


@pytest.mark.parametrize("problems", [64, 300])
@pytest.mark.parametrize(
    "spread",
    [
        {"seed": 0.0, "taste": 0.0, "sharp": 1.0},
        {"seed": 0.3, "taste": 0.0, "sharp": 1.0},
        {"seed": 0.0, "taste": 1.0, "sharp": 50.0},
        {"seed": 0.1, "taste": 1.0, "sharp": 50.0},
        {"seed": 0.3, "taste": 1.0, "sharp": 50.0},
        {"seed": 1.0, "taste": 0.5, "sharp": 1.0},
        {"seed": 0.1, "taste": 0.5, "sharp": 3.0, "mean": -4.5},
    ],
    ids=lambda spread: "-".join(f"{key}={value:g}" for key, value in spread.items()),
)
def test_three_seeds_reject_a_true_hypothesis_in_at_most_6_percent(
    problems: int, spread: dict[str, float]
):
    rng = np.random.default_rng(11)
    p = np.concatenate(
        [crossed_tables(verdicts(rng, (1000, 3, problems), spread)).p for _ in range(4)]
    )
    assert np.mean(p < 0.05) <= 0.06


def test_the_simulation_would_notice_pairs_that_are_pooled_as_independent():
    spread = {"seed": 0.3, "taste": 1.0, "sharp": 50.0}
    gaps = verdicts(np.random.default_rng(11), (500, 3, 300), spread).reshape(500, -1)
    pooled = stats.ttest_1samp(gaps, 0, axis=1).pvalue
    assert np.mean(pooled < 0.05) > 0.2


def moments(rng: Rng, many: int, seed: float, rest: float) -> Any:
    """Normal tables of 3 seeds x 40 problems whose mean has the variance 1 / 10^4."""
    problem = max(0.0, 1 - seed - rest)
    parts = ((seed * 3, (many, 3, 1)), (problem * 40, (many, 1, 40)), (rest * 120, (many, 3, 40)))
    # large problem counts hide the added pair; here gaps are scaled up instead
    return 100 * sum(np.sqrt(share) * rng.standard_normal(size) for share, size in parts)


@pytest.mark.parametrize("rest", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seed", [0.0, 0.1, 0.5, 0.8, 1.0])
def test_no_mixture_of_effects_is_rejected_too_often(seed: float, rest: float):
    found = crossed_tables(moments(np.random.default_rng(5), 3000, seed, rest * (1 - seed)))
    assert np.mean(found.p < 0.05) <= 0.06


def test_a_real_difference_is_found():
    rng = np.random.default_rng(7)
    gaps = rng.choice([-1.0, 0.0, 1.0], p=[0.06, 0.82, 0.12], size=(500, 3, 1319))
    assert np.mean(crossed_tables(gaps).p < 0.05) > 0.9
