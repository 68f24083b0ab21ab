"""Measuring memory: how much is free, and the peak that training itself reached.

    Linux: the resident set of this process, from /proc. CUDA: torch's allocator.

What the evaluation engine takes is set aside, so that the peak is that of the updates.
"""

import ctypes
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

Value = TypeVar("Value")

_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")
_RESET_PEAK = "5"  # man 5 proc, /proc/pid/clear_refs


def available_memory(device: torch.device) -> int | None:
    """Bytes that this process can still get on a device; None where nobody can say.

    On CPU the least of what the machine has and what its control groups allow; memory that only
    caches files counts as free. On CUDA what the device has and what torch holds unused.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    found = [_meminfo(_PROC), *_cgroup_limits(_PROC, _CGROUPS)]
    known = [value for value in found if value is not None]
    return min(known) if known else None


@dataclass(slots=True)
class MemoryMeter:
    """The peak of training above what was there before the model.

    Attributes:
        device: Where the policy is.
        before: Bytes in use that are not training's: libraries, and the engine as it comes.
        peak: The largest use above that, so far; None where the system does not tell.
    """

    device: torch.device
    before: int
    peak: int | None = None
    _readable: bool = field(default=True)

    @classmethod
    def start(cls, device: torch.device, weights: int) -> "MemoryMeter":
        """Begin behind the loading of the model.

        Args:
            device: Where the policy is.
            weights: Bytes of its parameters, which belong to training.
        """
        _return_free_memory()
        meter = cls(device, 0)
        now = meter._now()
        meter.before = (now or 0) - weights
        meter._readable = now is not None and meter._reset()
        return meter

    def note(self) -> int | None:
        """Take the peak since the last reset into account and return the largest so far."""
        highest = self._highest() if self._readable else None
        if highest is not None:
            self.peak = max(self.peak or 0, highest - self.before)
        return self.peak

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """What is allocated inside and stays is not training's, nor is the peak inside."""
        self.note()
        before = self._now()
        try:
            yield
        finally:
            after = self._now()
            if before is not None and after is not None:
                self.before += max(0, after - before)
            self._readable = self._readable and self._reset()

    def apart(self, work: Callable[[int], Value]) -> Callable[[int], Value]:
        """The same work, done `elsewhere`."""

        def measured_apart(step: int) -> Value:
            with self.elsewhere():
                return work(step)

        return measured_apart

    def _now(self) -> int | None:
        if self.device.type == "cuda":
            return torch.cuda.memory_allocated(self.device)
        return _status(_PROC / "self" / "status", "VmRSS")

    def _highest(self) -> int | None:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return _status(_PROC / "self" / "status", "VmHWM")

    def _reset(self) -> bool:
        """Start a new peak; false where the system cannot, so that no later peak would be true."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return True
        try:
            (_PROC / "self" / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
        except OSError:
            return False
        return True


def _return_free_memory() -> None:
    """Give back what an earlier run of this process left: used again, it would not be counted."""
    with suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)


def _status(path: Path, key: str) -> int | None:
    with suppress(OSError):
        found = re.search(rf"^{key}:\s+(\d+) kB", path.read_text(encoding="ascii"), re.MULTILINE)
        if found is not None:
            return int(found.group(1)) << 10
    return None


def _meminfo(proc: Path) -> int | None:
    return _status(proc / "meminfo", "MemAvailable")


def _cgroup_limits(proc: Path, root: Path) -> Iterator[int]:
    """What the control groups above this process still allow, version 2 or 1."""
    with suppress(OSError):
        for line in (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                yield from _allowed(root, path, "memory.max", "memory.current", "inactive_file")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
                yield from _allowed(root / "memory", path, *names)


def _allowed(root: Path, path: str, limit: str, used: str, cached: str) -> Iterator[int]:
    folder = root / path.lstrip("/")
    while True:
        with suppress(OSError, ValueError):
            # "max" is no number: no limit at this level
            most, now = (int((folder / name).read_text(encoding="ascii")) for name in (limit, used))
            yield max(0, most - now + _statistics(folder).get(cached, 0))
        if folder == root or root not in folder.parents:
            return
        folder = folder.parent


def _statistics(folder: Path) -> Mapping[str, int]:
    with suppress(OSError, ValueError):
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        return {name: int(value) for name, value in (line.split() for line in lines)}
    return {}
