"""The GPUs of this machine, as the driver's own program lists them; torch is not asked."""

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from core.units import MIB

_GPU_LINE = re.compile(r"^GPU (\d+): .*\(UUID: (GPU-[0-9a-fA-F-]+)\)")
_MIG_LINE = re.compile(r"^\s+MIG .*\(UUID: (MIG-[^)]+)\)")


@dataclass(frozen=True, slots=True)
class Listed:
    """A GPU as `nvidia-smi -L` shows it.

    Attributes:
        index: Its number in the order of their slots.
        uuid: Its name everywhere.
        instances: UUIDs of the parts that it is divided into (MIG).
    """

    index: int
    uuid: str
    instances: tuple[str, ...] = ()


def listed_gpus() -> list[Listed]:
    """All GPUs and their MIG instances; empty without a driver."""
    return parse_listing(_nvidia_smi("-L").splitlines())


def parse_listing(lines: Iterable[str]) -> list[Listed]:
    """Read what `nvidia-smi -L` prints."""
    found: list[Listed] = []
    for line in lines:
        if whole := _GPU_LINE.match(line):
            found.append(Listed(int(whole[1]), whole[2]))
        elif found and (part := _MIG_LINE.match(line)):
            last = found[-1]
            found[-1] = Listed(last.index, last.uuid, (*last.instances, part[1]))
    return found


def memory_by_uuid() -> dict[str, tuple[int, int]]:
    """Total and free bytes of every GPU by its UUID, without a context on any of them."""
    query = _nvidia_smi(
        "--query-gpu=uuid,memory.total,memory.free", "--format=csv,noheader,nounits"
    )
    return parse_memory(query.splitlines())


def parse_memory(lines: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Read lines of UUID, total and free MiB; what the driver does not tell is left out."""
    found = {}
    for line in lines:
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            found[parts[0].lower()] = (int(parts[1]) * MIB, int(parts[2]) * MIB)
    return found


def _nvidia_smi(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        done = subprocess.run(
            [program, *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
