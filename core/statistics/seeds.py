"""Two settings with several seeds each, on the same problems: seed and problem both random.

Pooling (seed, problem) pairs as if they were independent overstates the evidence: problems are
asked again under every seed, and a lucky seed lifts all its problems at once.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import fsum, sqrt

from core.statistics.student import mixed_level, t_quantile

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
    """Figures of a table of differences.

    Attributes:
        center: Mean difference, shrunk a little towards none.
        standard_error: Of the mean.
        seed_share: How much of the variance rests on the few seeds, in [0, 1].
        critical: What |center| / standard_error must exceed at 5%.
        p: Two-sided p-value.
    """

    center: float
    standard_error: float
    seed_share: float
    critical: float
    p: float


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
    seeds = tuple(sorted(a.keys() & b.keys()))
    tables = [table for seed in seeds for table in (a[seed], b[seed])]
    shared = sorted(set.intersection(*map(set, tables))) if tables else []
    if len(seeds) < MIN_SEEDS or len(shared) < 2:
        raise ValueError(
            f"{len(seeds)} paired seeds and {len(shared)} shared problems are too few; "
            f"{MIN_SEEDS} seeds and 2 problems are needed"
        )
    gaps = [[b[seed][key] - a[seed][key] for key in shared] for seed in seeds]
    by_seed = tuple(fsum(row) / len(shared) for row in gaps)
    found = crossed(gaps, margin)
    center, error = found.center, found.standard_error
    half = found.critical * error
    return SeedComparison(
        seeds=seeds,
        problems=len(shared),
        by_seed=by_seed,
        difference=fsum(by_seed) / len(seeds),
        standard_error=error,
        p=found.p,
        interval=(max(-1.0, center - half), min(1.0, center + half)),
        detectable=(found.critical + _POWER_QUANTILE) * error,
        seeds_needed=seeds_to_find(
            abs(center - margin), error, found.seed_share, len(seeds), len(shared)
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

    def finds(wanted: int) -> bool:
        fewer = by_seeds * seeds / wanted
        variance = fewer + by_problems
        share = fewer / variance
        critical = share * t_quantile(wanted - 1, 0.95) + (1 - share) * many
        return (critical + _POWER_QUANTILE) * sqrt(variance) <= distance

    numbers = range(MIN_SEEDS, _MOST_SEEDS + 1)
    place = bisect_left(numbers, True, key=finds)
    return numbers[place] if place < len(numbers) else None


def crossed(gaps: Sequence[Sequence[float]], margin: float = 0.0) -> Crossed:
    """The crossed-effects test behind `compare_across_seeds`.

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
        gaps: Shares of B minus shares of A, a row of problems for each seed; at least two of both.
        margin: The mean under the null hypothesis.
    """
    seeds, problems = len(gaps), len(gaps[0])
    by_seed = [fsum(row) / problems for row in gaps]
    by_problem = [fsum(column) / seeds for column in zip(*gaps, strict=True)]
    mean = fsum(by_seed) / seeds
    center = mean * (problems / (problems + 2))
    v1 = _squares(value - mean for value in by_seed) / (seeds - 1) / seeds
    v2 = ((_squares(by_problem) + 1) / (problems + 2) - center**2) / (problems + 2)
    total = _squares(chain.from_iterable(gaps)) + seeds * problems * mean**2
    rest = total - problems * _squares(by_seed) - seeds * _squares(by_problem)
    v3 = max(rest, 0.0) / ((seeds - 1) * (problems - 1)) / (seeds * problems)
    whole = max(v1 + v2 - v3, v1, v2)
    share, error = v1 / whole, sqrt(whole)
    degrees = (seeds - 1, problems - 1)
    few, many = (t_quantile(df, 0.95) for df in degrees)
    return Crossed(
        center=center,
        standard_error=error,
        seed_share=share,
        critical=share * few + (1 - share) * many,
        p=max(_SMALLEST_P, mixed_level(abs(center - margin) / error, share, degrees)),
    )


def _squares(values: Iterable[float]) -> float:
    return fsum(value * value for value in values)
