"""Two sets of verdicts on the same problems: how far apart, and could it be chance?"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import NormalDist

# Normal quantiles of a two-sided 5% test and of 80% power: 1.96 + 0.84.
_DETECTION_FACTOR = 2.8


class PairedMethod(StrEnum):
    """Where a p-value comes from."""

    MCNEMAR = "exact McNemar"
    CLUSTERED = "problem-level z"


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two sets of verdicts on the same problems.

    Attributes:
        n: Problems both sides answered.
        only_a: Problems that are right under A alone, or more often under A.
        only_b: The same for B.
        difference: Accuracy of B minus accuracy of A.
        p: Two-sided p-value that the difference is none (or the margin that was asked about).
        interval: 95% interval of the difference (Agresti and Min 2005: Wald after adding half a
            pair to each of the four cells).
        method: Where `p` comes from.
    """

    n: int
    only_a: int
    only_b: int
    difference: float
    p: float
    interval: tuple[float, float]
    method: PairedMethod = PairedMethod.MCNEMAR


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided p-value of McNemar's exact test from the two discordant counts.

    Under the null hypothesis each discordant pair falls to either side with probability 1/2, so
    that the smaller count is binomial; the p-value is twice its lower tail, at most 1.

    Raises:
        ValueError: a negative count.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"discordant counts must not be negative: {only_a}, {only_b}")
    discordant, smaller = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    # Whole numbers are exact, and need no import that takes longer than the command that asks.
    term = tail = 1
    for k in range(1, smaller + 1):
        term = term * (discordant - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / 2**discordant)


def compare_paired(right_a: Mapping[str, bool], right_b: Mapping[str, bool]) -> PairedComparison:
    """Compare two sets of verdicts over the problems that both have, one verdict per problem.

    Args:
        right_a: Problem id -> right, of the baseline.
        right_b: The same, of what is compared with it.
    """
    return compare_paired_shares(right_a, right_b)


def compare_paired_shares(
    shares_a: Mapping[str, float], shares_b: Mapping[str, float], margin: float = 0.0
) -> PairedComparison:
    """Compare shares of right samples over the problems that both have.

    A problem counts once however often it was sampled: samples of one problem are not
    independent. Single samples tested against no difference get McNemar's exact test; everything
    else a z-test over problems, the same approximation as the interval.

    Args:
        shares_a: Problem id -> share of its samples that are right, of the baseline.
        shares_b: The same, of what is compared with it.
        margin: The difference that the p-value is about, in (-1, 1).
    """
    gaps = [shares_b[key] - shares_a[key] for key in shares_a.keys() & shares_b.keys()]
    n = len(gaps)
    only_a, only_b = sum(gap < 0 for gap in gaps), sum(gap > 0 for gap in gaps)
    exact = margin == 0.0 and all(gap in (-1, 0, 1) for gap in gaps)
    center, error = _smoothed(gaps)
    half = NormalDist().inv_cdf(0.975) * error
    return PairedComparison(
        n=n,
        only_a=only_a,
        only_b=only_b,
        difference=math.fsum(gaps) / n if n else 0.0,
        p=mcnemar_exact(only_a, only_b) if exact else _two_sided((center - margin) / error),
        interval=(max(-1.0, center - half), min(1.0, center + half)) if n else (-1.0, 1.0),
        method=PairedMethod.MCNEMAR if exact else PairedMethod.CLUSTERED,
    )


def bootstrap_interval(
    shares_a: Mapping[str, float],
    shares_b: Mapping[str, float],
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of the difference, resampling problems (Efron 1979).

    Args:
        shares_a: Problem id -> share of its samples that are right, of the baseline.
        shares_b: The same, of what is compared with it.
        confidence: Coverage in (0, 1).
        resamples: Times that as many problems are drawn with replacement.
        seed: The same seed gives the same interval.

    Raises:
        ValueError: no shared problem, or confidence or resamples out of range.
    """
    import numpy as np

    shared = sorted(shares_a.keys() & shares_b.keys())
    if not shared or not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            f"no bootstrap of {len(shared)} problems, {resamples} times, at {confidence}"
        )
    gaps = np.array([shares_b[key] - shares_a[key] for key in shared])
    # Problems with the same gap are interchangeable: drawing how many there are of each is enough.
    values, counts = np.unique(gaps, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(gaps), counts / len(gaps), size=resamples)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws @ values / len(gaps), [tail, 1 - tail])
    return float(low), float(high)


def minimum_detectable_difference(discordant: float, n: int) -> float:
    """The accuracy difference that a paired test on `n` problems finds with 80% power.

    `2.8 * sqrt(discordance / n)` with the discordance `discordant / n`: the share of problems on
    which the two sides differ (with several samples, the mean squared difference).

    Raises:
        ValueError: `n` is not positive, or `discordant` is not between 0 and `n`.
    """
    if n <= 0 or not 0 <= discordant <= n:
        raise ValueError(f"no detectable difference for {discordant} discordant of {n} problems")
    return _DETECTION_FACTOR * math.sqrt(discordant / n / n)


def _smoothed(gaps: Iterable[float]) -> tuple[float, float]:
    """Center and standard error after adding two pairs: one right under A alone, one under B.

    With single samples this is Agresti and Min's half pair in each of the four cells: the two
    halves that agree add nothing to either sum. Half a pair of each kind weighs 1 in the squares.
    """
    listed = list(gaps)
    total = len(listed) + 2
    center = math.fsum(listed) / total
    squares = math.fsum(gap * gap for gap in listed) + 1
    return center, math.sqrt(max(0.0, squares / total - center * center) / total)


def _two_sided(z: float) -> float:
    return 2 * NormalDist().cdf(-abs(z))
