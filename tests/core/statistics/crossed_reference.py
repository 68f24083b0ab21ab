"""The crossed-effects test for many tables at once, in NumPy and SciPy; for simulations."""

from typing import Any, NamedTuple

import numpy as np
from scipy import special

SMALLEST_P = 1e-12


class Crossed(NamedTuple):
    """Arrays of the tables' leading shape."""

    center: Any
    standard_error: Any
    seed_share: Any
    critical: Any
    p: Any


def crossed_tables(gaps: Any) -> Crossed:
    """Of gaps of shape (..., seeds, problems)."""
    seeds, problems = gaps.shape[-2:]
    by_seed, by_problem = gaps.mean(axis=-1), gaps.mean(axis=-2)
    mean = by_seed.mean(axis=-1)
    center = mean * problems / (problems + 2)
    squares = ((by_problem**2).sum(axis=-1) + 1) / (problems + 2)
    v1 = by_seed.var(axis=-1, ddof=1) / seeds
    v2 = (squares - center**2) / (problems + 2)
    fitted = by_seed[..., :, None] + by_problem[..., None, :] - mean[..., None, None]
    rest = ((gaps - fitted) ** 2).sum(axis=(-1, -2)) / ((seeds - 1) * (problems - 1))
    variance = np.maximum(v1 + v2 - rest / (seeds * problems), np.maximum(v1, v2))
    share, error = v1 / variance, np.sqrt(variance)
    degrees = (seeds - 1, problems - 1)
    p = _level(np.abs(center) / error, share, degrees)
    return Crossed(center, error, share, _critical(0.05, share, degrees), p)


def _critical(level: Any, share: Any, degrees: tuple[int, int]) -> Any:
    few, many = (-special.stdtrit(df, level / 2) for df in degrees)
    return share * few + (1 - share) * many


def _level(statistic: Any, share: Any, degrees: tuple[int, int]) -> Any:
    """Where the critical value is the statistic, by bisection of the level's logarithm."""
    low = np.full(np.shape(statistic), np.log(SMALLEST_P))
    high = np.zeros(np.shape(statistic))
    for _ in range(50):
        middle = (low + high) / 2
        beyond = _critical(np.exp(middle), share, degrees) > statistic
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return np.exp(high)
