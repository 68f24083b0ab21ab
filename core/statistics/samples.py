"""Several samples per problem: they share its difficulty, so they are not independent."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from core.statistics.intervals import wilson_interval

Answer = TypeVar("Answer", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ClusteredRate:
    """A rate over samples that come in problems.

    Attributes:
        rate: Share of samples that are right.
        problems: Problems with at least one sample.
        samples: Samples of all problems.
        standard_error: Clustered by problem; None for a single problem.
        effective: Independent samples that would be as informative, at most `samples`.
        interval: 95% score interval at the effective number.
    """

    rate: float
    problems: int
    samples: int
    standard_error: float | None
    effective: float
    interval: tuple[float, float]


def clustered_rate(counts: Sequence[tuple[int, int]]) -> ClusteredRate:
    """Rate, clustered standard error and interval of samples that come in problems.

    The error is that of a ratio with the problem as sampling unit (Liang and Zeger 1986, with the
    factor P / (P - 1)). The interval is Wilson's with the number of independent samples that has
    the same error (Korn and Graubard 1998), because a Wald interval fails near 0 and 1.

    Args:
        counts: (right samples, samples) of each problem; problems without samples do not count.

    Raises:
        ValueError: more right samples than samples, or negative counts.
    """
    if any(not 0 <= right <= asked for right, asked in counts):
        raise ValueError("right samples must lie between 0 and the samples of their problem")
    asked_ones = [(right, asked) for right, asked in counts if asked]
    problems, samples = len(asked_ones), sum(asked for _, asked in asked_ones)
    if not problems:
        return ClusteredRate(0.0, 0, 0, None, 0.0, (0.0, 1.0))
    rate = sum(right for right, _ in asked_ones) / samples
    error = _clustered_error(asked_ones, rate) if problems > 1 else None
    effective = _effective(rate, error, problems, samples)
    interval = wilson_interval(min(rate * effective, effective), effective)
    return ClusteredRate(rate, problems, samples, error, effective, interval)


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Unbiased estimate that at least one of `k` samples is right (Chen et al. 2021).

    `1 - C(samples - right, k) / C(samples, k)`, in whole numbers, so that nothing overflows or
    cancels; only the last division rounds.

    Raises:
        ValueError: `k` is not in 1..`samples`, or `right` not in 0..`samples`.
    """
    if not 1 <= k <= samples or not 0 <= right <= samples:
        raise ValueError(f"no pass@{k} from {right} right of {samples} samples")
    every = math.comb(samples, k)
    return (every - math.comb(samples - right, k)) / every


def majority_vote(answers: Sequence[Answer | None]) -> Answer | None:
    """The most frequent answer; of several equally frequent ones, the one given first.

    Args:
        answers: In the order sampled; None (no answer found) has no vote.

    Returns:
        The winner; None when nobody voted.
    """
    votes = Counter(answer for answer in answers if answer is not None)
    # a Counter keeps the order of first appearance, and max takes the first of equals
    return max(votes, key=votes.__getitem__, default=None)


def _clustered_error(counts: Sequence[tuple[int, int]], rate: float) -> float:
    problems, samples = len(counts), sum(asked for _, asked in counts)
    squares = math.fsum((right - asked * rate) ** 2 for right, asked in counts)
    return math.sqrt(problems / (problems - 1) * squares) / samples


def _effective(rate: float, error: float | None, problems: int, samples: int) -> float:
    """All right or all wrong shows no spread; each problem then counts once."""
    if problems == samples:
        return float(samples)
    if not error or not 0 < rate < 1:
        return float(samples if error == 0 and 0 < rate < 1 else problems)
    return min(float(samples), rate * (1 - rate) / error**2)
