"""Length summaries against numpy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.statistics import length_summary


@given(st.lists(st.integers(0, 2000), min_size=1, max_size=80))
def test_length_summary_equals_numpy(values: list[int]):
    import numpy as np

    summary = length_summary(values)
    assert summary.mean == pytest.approx(np.mean(values))
    percentiles = np.percentile(values, [50, 90, 99])
    assert (summary.p50, summary.p90, summary.p99) == pytest.approx(tuple(percentiles))
    counts, _ = np.histogram(values, bins=summary.bin_edges)
    assert list(summary.counts) == list(counts)
    assert sum(summary.counts) == summary.n == len(values)
    assert len(summary.counts) <= 20


def test_length_summary_of_nothing():
    summary = length_summary([])
    assert (summary.n, summary.mean, summary.counts) == (0, 0.0, ())
