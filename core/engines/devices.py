"""`CUDA_VISIBLE_DEVICES` as batch systems write it, turned into the indices vLLM understands."""

import os
from collections.abc import Sequence

from core.engines.gpus import Listed, listed_gpus
from core.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_ORDER = "CUDA_DEVICE_ORDER"
_BY_SLOT = "PCI_BUS_ID"
# CUDA reads the list up to the first entry that names nothing, of which this is the usual one
_END = "-1"


def normalize_visible_devices() -> str | None:
    """Rewrite UUIDs and spaces in `CUDA_VISIBLE_DEVICES` as plain indices.

    Must run before torch is imported, because CUDA reads the variable once. The driver numbers
    GPUs by their slots and CUDA, unless it is told, by their speed; where UUIDs become numbers
    CUDA is told.

    Returns:
        The value that is set afterwards, or None when the variable is not set.

    Raises:
        UserError: an entry names no GPU of this machine, or several.
    """
    value = os.environ.get(VISIBLE)
    if value is None:
        return None
    if not needs_mapping(value):
        mapped = ",".join(part.strip() for part in value.split(","))
    else:
        mapped = visible_indices(value, gpu_uuids())
        os.environ[_ORDER] = _BY_SLOT
    if mapped != value:
        os.environ[VISIBLE] = mapped
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


def visible_entries(count: int) -> list[str]:
    """The GPUs that this process sees, as `CUDA_VISIBLE_DEVICES` names them, in its order.

    Args:
        count: How many torch sees; all of them where the variable is not set.
    """
    value = os.environ.get(VISIBLE)
    if value is None:
        return [str(index) for index in range(count)]
    entries = [part.strip() for part in value.split(",")]
    known = entries[: entries.index(_END)] if _END in entries else entries
    return [entry for entry in known if entry]


def seen_first(own: str, other: str | None) -> str:
    """`CUDA_VISIBLE_DEVICES` of a process that works on one GPU and reads another's memory.

    A process can have only one MIG instance, and reads nobody else's.
    """
    instances = any(is_instance(entry) for entry in (own, other or ""))
    return own if other is None or other == own or instances else f"{own},{other}"


def is_instance(entry: str) -> bool:
    """Whether an entry names a part of a GPU (MIG)."""
    return entry.upper().startswith("MIG-")


def index_for_vllm(value: str | None, gpus: Sequence[Listed]) -> str | None:
    """What vLLM has to read where a MIG instance is visible: the number of the GPU it is part of.

    vLLM asks the driver about the GPU that the variable names, and can do so only by number. CUDA
    has read the variable by then.

    Args:
        value: Of `CUDA_VISIBLE_DEVICES`.
        gpus: Of this machine.

    Returns:
        None where vLLM can read the value as it is.

    Raises:
        UserError: the instance is not on this machine.
    """
    entries = [part.strip() for part in (value or "").split(",")]
    if not is_instance(entries[0]):
        return None
    wanted = entries[0].lower()
    for gpu in gpus:
        names = [name.lower() for name in gpu.instances]
        if any(name.startswith(wanted) for name in names) or f"mig-{gpu.uuid.lower()}/" in wanted:
            return str(gpu.index)
    raise UserError(
        f"{VISIBLE} names {entries[0]}, which is no MIG instance of this machine; "
        "nvidia-smi -L lists them"
    )


def gpu_uuids() -> list[str]:
    """UUIDs of all GPUs in NVML's order; empty without a driver."""
    return [gpu.uuid for gpu in listed_gpus()]


def _index(entry: str, uuids: Sequence[str]) -> str:
    if not entry.upper().startswith("GPU-"):
        return entry
    found = [i for i, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
    if len(found) != 1:
        problem = "no GPU of this machine" if not found else f"{len(found)} GPUs of this machine"
        raise UserError(
            f"{VISIBLE} names {entry}, which fits {problem}; "
            "set it to indices such as 0,1 or to full UUIDs from nvidia-smi -L"
        )
    return str(found[0])
