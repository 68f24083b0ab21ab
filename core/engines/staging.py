"""Main memory that two processes share, without a name that could be left behind."""

import mmap
import os
from multiprocessing import reduction, shared_memory
from typing import TYPE_CHECKING, Any

from core.units import MIB

if TYPE_CHECKING:
    import torch

SIZE = 16 * MIB


class SharedMemory:
    """Bytes that this process and one that it starts both write and read.

    On Linux they belong to no file system, so that nothing is left when both are killed, and the
    small /dev/shm of a container does not matter. Elsewhere they have a name until they are closed.
    """

    def __init__(self, size: int = SIZE) -> None:
        """Take the memory; none is used before it is written to."""
        self._size = size
        self._named: shared_memory.SharedMemory | None = None
        self._descriptor = -1
        if hasattr(os, "memfd_create"):
            self._descriptor = os.memfd_create("a5ctl-weights", os.MFD_CLOEXEC)
            os.ftruncate(self._descriptor, size)
            self._bytes: Any = mmap.mmap(self._descriptor, size)
        else:
            self._named = shared_memory.SharedMemory(create=True, size=size)
            self._bytes = self._named.buf

    def __reduce__(self) -> tuple[Any, ...]:
        """For `Process`, which hands descriptors on while it starts."""
        if self._named is not None:
            return _attach_named, (self._named.name,)
        return _attach, (reduction.DupFd(self._descriptor), self._size)

    @property
    def tensor(self) -> "torch.Tensor":
        """The bytes, shape (size,), uint8."""
        return _as_tensor(self._bytes)

    def close(self) -> None:
        """Let go of it; the memory is free when nobody holds it any more."""
        if self._named is not None:
            self._named.unlink()
        elif self._descriptor >= 0:
            os.close(self._descriptor)
        self._named, self._descriptor = None, -1


class Attached:
    """The same bytes in the other process; torch is imported only when they are used."""

    def __init__(self, content: Any, owner: Any = None) -> None:
        """Wrap what was opened, and hold on to what it would end with."""
        self._bytes, self._owner = content, owner

    @property
    def tensor(self) -> "torch.Tensor":
        """The bytes, shape (size,), uint8."""
        return _as_tensor(self._bytes)


def _attach(duplicate: Any, size: int) -> Attached:
    descriptor = duplicate.detach()
    try:
        return Attached(mmap.mmap(descriptor, size))
    finally:
        os.close(descriptor)


def _attach_named(name: str) -> Attached:
    memory = shared_memory.SharedMemory(name)
    return Attached(memory.buf, memory)


def _as_tensor(content: Any) -> "torch.Tensor":
    import torch

    return torch.frombuffer(content, dtype=torch.uint8)
