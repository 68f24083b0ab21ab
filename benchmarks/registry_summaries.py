"""Summaries of made curves: computed at once, and compared with what the registry computes."""

import random
from typing import Any

import numpy as np

from core.registry.codec import split_value
from core.registry.store import Registry
from core.registry.summaries import rebuild_summaries


def summary_of(visible: list[tuple[np.ndarray, np.ndarray]]) -> tuple[Any, ...]:
    """Last value, its step, the smallest with its step, the largest with its step."""
    steps, values = (np.concatenate(parts) for parts in zip(*visible, strict=True))
    ends: tuple[Any, ...] = (None, None, None, None)
    if np.isfinite(values).any():
        low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
        ends = (float(values[low]), int(steps[low]), float(values[high]), int(steps[high]))
    return (*split_value(float(values[-1])), int(steps[-1]), *ends)


def check_summaries(registry: Registry, seed: int, sample: int = 25) -> None:
    """Compare stored summaries with what the registry makes of the rows.

    Raises:
        AssertionError: they differ.
    """
    runs = registry.runs(archived=True)
    chosen = random.Random(seed).sample(runs, min(sample, len(runs)))
    chosen += [run for run in runs if registry.segments(run.uuid)][:3] if len(runs) < 2000 else []
    for run in chosen:
        written = registry.metric_summaries([run.uuid])
        with registry.database.begin() as connection:
            rebuild_summaries(connection, run.key)
        assert repr(written) == repr(registry.metric_summaries([run.uuid])), run.id
