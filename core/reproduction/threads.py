"""As many threads as were recorded: sums over another number of threads round differently."""

import os
from collections.abc import Mapping
from typing import Any

from core.provenance import THREAD_VARIABLES


def set_thread_variables(recorded: Mapping[str, Any]) -> list[str]:
    """Set this process' thread variables as recorded; says what was changed.

    Call it before libraries are loaded, which read them once.

    Args:
        recorded: Provenance of a run; an empty one changes nothing.
    """
    if "environment" not in recorded:
        return []
    variables = {**(recorded.get("threads") or {}), **recorded["environment"]}
    changed = []
    for name in THREAD_VARIABLES:
        before, wanted = os.environ.get(name), variables.get(name)
        if before == (None if wanted is None else str(wanted)):
            continue
        if wanted is None:
            del os.environ[name]
        else:
            os.environ[name] = str(wanted)
        now = "unset" if wanted is None else f"set to {wanted}"
        was = "not set" if before is None else before
        changed.append(f"{name} is {now} as it was recorded (here it was {was})")
    return changed


def set_torch_threads(recorded: Mapping[str, Any]) -> list[str]:
    """The same for torch; a run that trains sets its own number once more, from its settings."""
    wanted = (recorded.get("threads") or {}).get("torch")
    if not isinstance(wanted, int) or wanted < 1:
        return []
    import torch

    before = torch.get_num_threads()
    if before == wanted:
        return []
    torch.set_num_threads(wanted)
    return [f"torch uses {wanted} threads as it was recorded (here it was {before})"]
