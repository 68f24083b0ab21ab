"""What must be settled before torch is imported: GPUs, waiting threads, the cycle collector."""

import gc
import os

# Imports make about a million objects that live to the end. Python's own thresholds walk through
# all of them again and again, which took a fifth of the time before the first step.
_COLLECT_AFTER = (10_000, 20, 10)


def prepare_process() -> None:
    """Prepare this process for training and generation; harmless when done twice.

    OpenMP threads that spin while they wait made two threads slower than one, by up to five times
    on a busy machine; threads that sleep lose little on an idle one.
    """
    from core.engines.devices import normalize_visible_devices

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    normalize_visible_devices()
    gc.set_threshold(*_COLLECT_AFTER)
