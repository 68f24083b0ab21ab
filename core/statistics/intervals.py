"""How far a rate or a mean of seeds may be from the truth."""

import math
from collections.abc import Sequence
from statistics import NormalDist


def wilson_interval(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a proportion (Wilson 1927), without continuity correction.

    Args:
        successes: Between 0 and `n`.
        n: Trials, or as many as they are worth where they depend on each other; with none
            nothing is known and the interval is (0, 1).
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


def difference_interval(
    successes: float, n: float, other_successes: float, other_n: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Interval of the difference of two proportions of different responses.

    The squares of the Wilson intervals' arms are added (Newcombe 1998, method 10). Proportions of
    the same problems are paired, and have better tests.

    Args:
        successes: Of the first proportion.
        n: Its trials.
        other_successes: Of the one that is subtracted.
        other_n: Its trials.
        confidence: Coverage in (0, 1).

    Raises:
        ValueError: counts or confidence out of range, or no trials.
    """
    if not n or not other_n:
        raise ValueError("no interval for a difference without trials on both sides")
    low, high = wilson_interval(successes, n, confidence)
    other_low, other_high = wilson_interval(other_successes, other_n, confidence)
    share, other = successes / n, other_successes / other_n
    below = math.hypot(share - low, other_high - other)
    above = math.hypot(high - share, other - other_low)
    return share - other - below, share - other + above


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
