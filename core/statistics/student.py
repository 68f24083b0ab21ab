"""How far a mean of few values may be from the truth: Student's t, without an import of SciPy."""

import math
from collections.abc import Sequence
from functools import cache

from core.statistics.intervals import mean_and_standard_error

_HALVINGS = 60
_NO_LEVEL = 1e-15


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """Student's interval of the mean of independent values; None for a single value.

    Args:
        values: At least one.
        confidence: Coverage in (0, 1).

    Raises:
        ValueError: no values, or a confidence out of range.
    """
    mean, error = mean_and_standard_error(values)
    if error is None:
        return None
    half = t_quantile(len(values) - 1, confidence) * error
    return mean - half, mean + half


def mixed_level(statistic: float, share: float, degrees: tuple[int, int]) -> float:
    """The level at which a weighted mean of two t quantiles is just met by a statistic.

    Args:
        statistic: Not negative.
        share: Weight of the first quantile, in [0, 1].
        degrees: Of freedom of both.

    Returns:
        Two-sided, in [0, 1].
    """
    few, many = degrees
    low, high = 0.0, math.pi / 2  # angles of the second quantile
    level = 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        level = 1 - _within(middle, many)
        second = math.sqrt(many) * math.tan(middle)
        # beyond the floating point the first one is as far away as can be
        first = _quantile(few, 1 - level) if level > _NO_LEVEL else math.inf
        beyond = share * first + (1 - share) * second if share else second
        low, high = (low, middle) if beyond > statistic else (middle, high)
    return level


@cache
def t_quantile(degrees: int, confidence: float) -> float:
    """What |t| stays under with this probability.

    Args:
        degrees: Of freedom, at least 1.
        confidence: In (0, 1), of both sides together.

    Raises:
        ValueError: either is out of range.
    """
    if degrees < 1 or not 0 < confidence < 1:
        raise ValueError(f"no t quantile of {degrees} degrees of freedom at {confidence}")
    return _quantile(degrees, confidence)


def _quantile(degrees: int, confidence: float) -> float:
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _within(angle: float, degrees: int) -> float:
    """P(|T| < sqrt(degrees) tan(angle)): finite sums (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    sine, square = math.sin(angle), math.cos(angle) ** 2
    odd = degrees % 2
    term = total = math.cos(angle) if odd else 1.0
    for number in range(3 if odd else 2, degrees - 1, 2):
        term *= (number - 1) / number * square
        total += term
    if degrees == 1:
        return 2 * angle / math.pi
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
