"""`CUDA_VISIBLE_DEVICES` as batch systems write it, turned into the indices vLLM understands."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from core.errors import UserError

_VARIABLE = "CUDA_VISIBLE_DEVICES"


def normalize_visible_devices() -> str | None:
    """Rewrite UUIDs and spaces in `CUDA_VISIBLE_DEVICES` as plain indices.

    Must run before torch is imported, because CUDA reads the variable once.

    Returns:
        The value that is set afterwards, or None when the variable is not set.

    Raises:
        UserError: an entry names no GPU of this machine, or several.
    """
    value = os.environ.get(_VARIABLE)
    if value is None:
        return None
    if not needs_mapping(value):
        mapped = ",".join(part.strip() for part in value.split(","))
    else:
        mapped = visible_indices(value, gpu_uuids())
    if mapped != value:
        os.environ[_VARIABLE] = mapped
    return mapped


def needs_mapping(value: str) -> bool:
    """True when an entry is a GPU UUID; indices and MIG instances are left as they are."""
    return any(part.strip().upper().startswith("GPU-") for part in value.split(","))


def visible_indices(value: str, uuids: Sequence[str]) -> str:
    """Map a list of indices and (possibly abbreviated) UUIDs to indices.

    Args:
        value: For example `GPU-8f2c, GPU-11aa2b31-...`.
        uuids: UUIDs of all GPUs in NVML's order.

    Raises:
        UserError: an entry fits no UUID, or more than one.
    """
    return ",".join(_index(part.strip(), uuids) for part in value.split(",") if part.strip())


def gpu_uuids() -> list[str]:
    """UUIDs of all GPUs in NVML's order; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _index(entry: str, uuids: Sequence[str]) -> str:
    if not entry.upper().startswith("GPU-"):
        return entry
    found = [i for i, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
    if len(found) != 1:
        problem = "no GPU of this machine" if not found else f"{len(found)} GPUs of this machine"
        raise UserError(
            f"{_VARIABLE} names {entry}, which fits {problem}; "
            "set it to indices such as 0,1 or to full UUIDs from nvidia-smi -L"
        )
    return str(found[0])
