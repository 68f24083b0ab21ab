"""Two settings with several seeds each, on the same problems: seed and problem both random.

Pooling (seed, problem) pairs as if they were independent overstates the evidence: problems are
asked again under every seed, and a lucky seed lifts all its problems at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.statistics.student import mixed_level, t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_SEEDS = 3
_SMALLEST_P = 1e-12
_POWER_QUANTILE = 0.8416  # of 80%
_MOST_SEEDS = 50


@dataclass(frozen=True, slots=True)
class SeedComparison:
    """Setting B against setting A over paired seeds.

    Attributes:
        seeds: Seeds that both have, ascending.
        problems: Problems answered under every seed of both.
        by_seed: Accuracy of B minus accuracy of A, by seed.
        difference: Their mean.
        standard_error: Of that mean, as far as seeds and problems are samples.
        p: Two-sided p-value that the difference is none (or the margin that was asked about).
        interval: 95% interval that goes with the p-value.
        detectable: The difference found with 80% power at this standard error.
        seeds_needed: With which a difference as large as this one would be found with 80% power,
            see `seeds_to_find`.
    """

    seeds: tuple[int, ...]
    problems: int
    by_seed: tuple[float, ...]
    difference: float
    standard_error: float
    p: float
    interval: tuple[float, float]
    detectable: float
    seeds_needed: int | None


@dataclass(frozen=True, slots=True)
class Crossed:
    """Figures of one or many tables of differences; arrays of the tables' leading shape.

    Attributes:
        center: Mean difference, shrunk a little towards none.
        standard_error: Of the mean.
        seed_share: How much of the variance rests on the few seeds, in [0, 1].
        critical: What |center| / standard_error must exceed at 5%.
        p: Two-sided p-value.
    """

    center: Any
    standard_error: Any
    seed_share: Any
    critical: Any
    p: Any


def compare_across_seeds(
    a: Mapping[int, Mapping[str, float]],
    b: Mapping[int, Mapping[str, float]],
    margin: float = 0.0,
) -> SeedComparison:
    """Test two settings over the seeds and problems that both have.

    Args:
        a: Seed -> problem id -> share of samples that are right, of the baseline.
        b: The same, of what is compared with it.
        margin: The difference that the p-value is about.

    Raises:
        ValueError: fewer than `MIN_SEEDS` seeds or two problems in common.
    """
    import numpy as np

    seeds = tuple(sorted(a.keys() & b.keys()))
    tables = [table for seed in seeds for table in (a[seed], b[seed])]
    shared = sorted(set.intersection(*map(set, tables))) if tables else []
    if len(seeds) < MIN_SEEDS or len(shared) < 2:
        raise ValueError(
            f"{len(seeds)} paired seeds and {len(shared)} shared problems are too few; "
            f"{MIN_SEEDS} seeds and 2 problems are needed"
        )
    gaps = np.array([[b[seed][key] - a[seed][key] for key in shared] for seed in seeds])
    found = crossed(gaps, margin)
    center, error = float(found.center), float(found.standard_error)
    half = float(found.critical) * error
    return SeedComparison(
        seeds=seeds,
        problems=len(shared),
        by_seed=tuple(float(mean) for mean in gaps.mean(axis=1)),
        difference=float(gaps.mean()),
        standard_error=error,
        p=float(found.p),
        interval=(max(-1.0, center - half), min(1.0, center + half)),
        detectable=(float(found.critical) + _POWER_QUANTILE) * error,
        seeds_needed=seeds_to_find(
            abs(center - margin), error, float(found.seed_share), len(seeds), len(shared)
        ),
    )


def seeds_to_find(
    distance: float, error: float, seed_share: float, seeds: int, problems: int
) -> int | None:
    """The fewest seeds that find such a difference with 80% power, the spread being as it is.

    The variance over seeds falls as 1 / seeds; what rests on the problems is taken to stay, so
    that the figure is rather too large. It is a guide from few seeds, not a promise.

    Args:
        distance: From the null hypothesis, a share.
        error: Standard error of the mean over `seeds` seeds and `problems` problems.
        seed_share: Part of its variance that rests on the seeds, in [0, 1].

    Returns:
        None where `_MOST_SEEDS` would not do.
    """
    by_seeds, by_problems = (part * error**2 for part in (seed_share, 1 - seed_share))
    many = t_quantile(problems - 1, 0.95)
    for wanted in range(MIN_SEEDS, _MOST_SEEDS + 1):
        fewer = by_seeds * seeds / wanted
        variance = fewer + by_problems
        share = fewer / variance
        critical = share * t_quantile(wanted - 1, 0.95) + (1 - share) * many
        if (critical + _POWER_QUANTILE) * variance**0.5 <= distance:
            return wanted
    return None


def crossed(gaps: "NDArray[Any]", margin: float = 0.0) -> Crossed:
    """The crossed-effects test behind `compare_across_seeds`, for many tables at once.

    Model: gap = mean + seed effect + problem effect + rest, all random, so that the grand mean of
    S seeds and P problems has the variance `seed²/S + problem²/P + rest²/(S P)`. Three figures
    estimate parts of it: v1, the variance of seed means over S, holds seed and rest; v2, that of
    problem means over P, holds problem and rest; v3, the residual one, rest alone. The two-way
    estimate is v1 + v2 - v3 (as in Cameron, Gelbach and Miller 2011), here never below v1 or v2.

    v1 has only S - 1 degrees of freedom. Satterthwaite's single number of degrees of freedom
    (min F', Clark 1973) rejects true hypotheses in up to 7.7% of cases at S = 3; so the critical
    value is the mean of both t quantiles, S - 1 and P - 1 degrees of freedom, weighted by the
    share of v1 and the rest, as Cochran and Cox (1950) do for two unequal variances. By simulation
    it rejects 5% at most (within Monte Carlo error; 3 seeds, any mixture of the three effects),
    and less where the rest dominates. The p-value is the level at which the critical value meets
    the statistic.

    Half a pair of each kind is added to the problems, as in the interval of one pair of runs, so
    that a table without a single difference does not count as certainty.

    Args:
        gaps: Shares of B minus shares of A, shape (..., seeds, problems), float.
        margin: The mean under the null hypothesis.
    """
    import numpy as np

    seeds, problems = gaps.shape[-2:]
    mean = gaps.mean(axis=(-1, -2))
    by_seed, by_problem = gaps.mean(axis=-1), gaps.mean(axis=-2)
    center = mean * (problems / (problems + 2))
    squares = ((by_problem**2).sum(axis=-1) + 1) / (problems + 2)
    v1 = by_seed.var(axis=-1, ddof=1) / seeds
    v2 = (squares - center**2) / (problems + 2)
    total = (gaps**2).sum(axis=(-1, -2)) + seeds * problems * mean**2
    rest = total - problems * (by_seed**2).sum(axis=-1) - seeds * (by_problem**2).sum(axis=-1)
    v3 = np.maximum(rest, 0) / ((seeds - 1) * (problems - 1)) / (seeds * problems)
    variance = np.maximum(v1 + v2 - v3, np.maximum(v1, v2))
    share, error = v1 / variance, np.sqrt(variance)
    degrees = (seeds - 1, problems - 1)
    statistic = np.abs(center - margin) / error
    if gaps.ndim == 2:  # one table is not worth the import of SciPy
        few, many = (t_quantile(df, 0.95) for df in degrees)
        critical = share * few + (1 - share) * many
        p = max(_SMALLEST_P, mixed_level(float(statistic), float(share), degrees))
    else:
        critical = _critical(np.log(0.05), share, degrees)
        p = _level(statistic, share, degrees)
    return Crossed(center=center, standard_error=error, seed_share=share, critical=critical, p=p)


def _critical(log_level: Any, share: Any, degrees: tuple[int, int]) -> Any:
    import numpy as np
    from scipy.special import stdtrit

    tail = np.exp(log_level) / 2
    few, many = (-stdtrit(df, tail) for df in degrees)
    return share * few + (1 - share) * many


def _level(statistic: Any, share: Any, degrees: tuple[int, int]) -> Any:
    """The level whose critical value the statistic just meets, by bisection of its logarithm."""
    import numpy as np

    low = np.full(np.shape(statistic), np.log(_SMALLEST_P))
    high = np.zeros(np.shape(statistic))
    for _ in range(50):
        middle = (low + high) / 2
        beyond = _critical(middle, share, degrees) > statistic
        low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
    return np.exp(high)
