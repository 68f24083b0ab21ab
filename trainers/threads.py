"""How many CPU threads the trainer uses: measured, because two are often slower than one."""

import time
from collections.abc import Callable

import torch

from core.provenance import usable_cores

_REPEATS = 2


def choose_threads(work: Callable[[], None], wanted: int | None) -> int:
    """Set torch's thread count and return it.

    Args:
        work: One representative forward and backward pass; must leave no trace.
        wanted: A count that was asked for or recorded earlier; None measures powers of two up to
            the number of usable cores and takes the fastest.
    """
    if wanted is not None:
        torch.set_num_threads(wanted)
        return wanted
    candidates = [1]
    while candidates[-1] * 2 <= usable_cores():
        candidates.append(candidates[-1] * 2)
    timings = {count: _seconds(work, count) for count in candidates}
    best = min(timings, key=lambda count: timings[count])
    torch.set_num_threads(best)
    return best


def _seconds(work: Callable[[], None], count: int) -> float:
    torch.set_num_threads(count)
    work()
    timings = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        timings.append(time.perf_counter() - started)
    return min(timings)
