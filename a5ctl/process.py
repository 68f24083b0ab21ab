"""What must be settled before torch is imported: which GPUs it sees and how its threads wait."""

import os


def prepare_process() -> None:
    """Prepare this process for training and generation; harmless when done twice.

    OpenMP threads that spin while they wait made two threads slower than one, by up to five times
    on a busy machine; threads that sleep lose little on an idle one.
    """
    from core.engines.devices import normalize_visible_devices

    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    normalize_visible_devices()
