"""Intervals, paired tests and summaries: the only place where figures get their uncertainty.

A paired test on one seed speaks of two checkpoints on these problems, not of two settings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

HISTOGRAM_BINS = 20
# Normal quantiles of a two-sided 5% test and of 80% power: 1.96 + 0.84.
_DETECTION_FACTOR = 2.8


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Two sets of verdicts on the same problems.

    Attributes:
        n: Problems both sides answered.
        only_a: Right under A alone.
        only_b: Right under B alone.
        difference: Accuracy of B minus accuracy of A.
        p: Two-sided p-value of the exact McNemar test.
        interval: 95% interval of the difference (Agresti and Min 2005: Wald after adding half a
            pair to each of the four cells).
    """

    n: int
    only_a: int
    only_b: int
    difference: float
    p: float
    interval: tuple[float, float]


@dataclass(frozen=True, slots=True)
class LengthSummary:
    """A distribution of lengths, in tokens.

    Attributes:
        n: Values; with 0 every figure is 0 and the histogram is empty.
        mean: Arithmetic mean.
        p50: Median; percentiles interpolate linearly between ranks.
        p90: 90th percentile.
        p99: 99th percentile.
        maximum: Largest value.
        bin_edges: `len(counts) + 1` ascending edges; a bin holds its left edge, the last both.
        counts: Values per bin.
    """

    n: int
    mean: float
    p50: float
    p90: float
    p99: float
    maximum: float
    bin_edges: tuple[float, ...]
    counts: tuple[int, ...]


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), without continuity correction.

    Args:
        successes: Between 0 and `n`.
        n: Trials; with none nothing is known and the interval is (0, 1).
        confidence: Coverage in (0, 1).

    Raises:
        ValueError: counts or confidence out of range.
    """
    if not 0 <= successes <= n or not 0 < confidence < 1:
        raise ValueError(f"no interval for {successes} of {n} at confidence {confidence}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / n
    shrink = 1 + z * z / n
    center = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The bounds at 0 and n are exact; rounding would leave them at 1e-17.
    low = 0.0 if successes == 0 else max(0.0, center - half)
    high = 1.0 if successes == n else min(1.0, center + half)
    return low, high


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
    """Compare two sets of verdicts over the problems that both have.

    Args:
        right_a: Problem id -> right, of the baseline.
        right_b: The same, of what is compared with it.
    """
    shared = right_a.keys() & right_b.keys()
    only_a = sum(right_a[key] and not right_b[key] for key in shared)
    only_b = sum(right_b[key] and not right_a[key] for key in shared)
    n = len(shared)
    return PairedComparison(
        n=n,
        only_a=only_a,
        only_b=only_b,
        difference=(only_b - only_a) / n if n else 0.0,
        p=mcnemar_exact(only_a, only_b),
        interval=_difference_interval(only_a, only_b, n),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p-values, in the order given.

    Raises:
        ValueError: a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values must lie in [0, 1]: {list(p_values)}")
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def minimum_detectable_difference(discordant: int, n: int) -> float:
    """The accuracy difference that a paired test on `n` problems finds with 80% power.

    `2.8 * sqrt(discordance / n)` with the discordance `discordant / n`: the share of problems on
    which the two sides differ.

    Raises:
        ValueError: `n` is not positive, or `discordant` is not between 0 and `n`.
    """
    if n <= 0 or not 0 <= discordant <= n:
        raise ValueError(f"no detectable difference for {discordant} discordant of {n} problems")
    return _DETECTION_FACTOR * math.sqrt(discordant / n / n)


def mean_and_standard_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and its standard error from the sample deviation; None for a single value.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values to average")
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(variance / len(values))


def length_summary(values: Sequence[float]) -> LengthSummary:
    """Summarise lengths; equally wide bins from 0 to the largest value, whole tokens wide."""
    if not values:
        return LengthSummary(0, 0.0, 0.0, 0.0, 0.0, 0.0, (), ())
    ordered = sorted(values)
    width = max(1, math.ceil((ordered[-1] + 1) / HISTOGRAM_BINS))
    bins = int(ordered[-1] // width) + 1
    counts = [0] * bins
    for value in ordered:
        counts[int(value // width)] += 1
    return LengthSummary(
        n=len(ordered),
        mean=math.fsum(ordered) / len(ordered),
        p50=_percentile(ordered, 0.50),
        p90=_percentile(ordered, 0.90),
        p99=_percentile(ordered, 0.99),
        maximum=float(ordered[-1]),
        bin_edges=tuple(float(width * edge) for edge in range(bins + 1)),
        counts=tuple(counts),
    )


def _difference_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    if n == 0:
        return -1.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    center = (b - a) / total
    half = z * math.sqrt(max(0.0, a + b - (b - a) ** 2 / total)) / total
    return max(-1.0, center - half), min(1.0, center + half)


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
