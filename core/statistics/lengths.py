"""Lengths of responses in a few figures and a histogram."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

HISTOGRAM_BINS = 20


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


def _percentile(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
