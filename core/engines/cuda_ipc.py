"""GPU memory that two processes share: CUDA's own handles, through the driver, without files.

The memory comes straight from the driver, not from torch's allocator: a handle stands for a whole
allocation, and an allocation of torch's holds other tensors too, or cannot be shared at all
(expandable segments). Nothing of it is left when a process is killed.

Source: CUDA Driver API, "Memory Management", cuIpcGetMemHandle and cuIpcOpenMemHandle.
"""

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_LIBRARY = "libcuda.so.1"
_LAZY_PEER_ACCESS = 1


class CudaIpcError(RuntimeError):
    """Memory of a GPU cannot be shared here; the message ends a sentence."""


class _Handle(ctypes.Structure):
    _fields_ = (("reserved", ctypes.c_char * 64),)


@dataclass(frozen=True, slots=True)
class SharedHandle:
    """What another process needs to open the memory.

    Attributes:
        handle: The driver's 64 bytes.
        uuid: Of the GPU.
        size: In bytes.
    """

    handle: bytes
    uuid: str
    size: int


class Driver:
    """The few calls of CUDA's driver that torch does not offer."""

    def __init__(self, library: str = _LIBRARY) -> None:
        """Load the driver.

        Raises:
            CudaIpcError: there is none.
        """
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            raise CudaIpcError(f"the driver cannot be loaded ({error})") from error
        pointer, handle = ctypes.POINTER(ctypes.c_uint64), ctypes.POINTER(_Handle)
        self._declare("cuMemAlloc_v2", pointer, ctypes.c_size_t)
        self._declare("cuMemFree_v2", ctypes.c_uint64)
        self._declare("cuIpcGetMemHandle", handle, ctypes.c_uint64)
        self._declare("cuIpcOpenMemHandle_v2", pointer, _Handle, ctypes.c_uint)
        self._declare("cuIpcCloseMemHandle", ctypes.c_uint64)
        self._declare("cuGetErrorName", ctypes.c_int, ctypes.POINTER(ctypes.c_char_p))

    def allocate(self, size: int) -> int:
        """Bytes on the GPU whose context is current; returns their address.

        Raises:
            CudaIpcError: there is no room.
        """
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        """Give what `allocate` returned back."""
        self._call("cuMemFree_v2", address)

    def share(self, address: int) -> bytes:
        """A handle for other processes.

        Raises:
            CudaIpcError: the driver gives none, as in some virtual machines.
        """
        handle = _Handle()
        self._call("cuIpcGetMemHandle", ctypes.byref(handle), address)
        return ctypes.string_at(ctypes.addressof(handle), ctypes.sizeof(handle))

    def open(self, handle: bytes) -> int:
        """The address of another process' memory in this one.

        Raises:
            CudaIpcError: it cannot be reached from here, as between containers.
        """
        address = ctypes.c_uint64()
        given = _Handle.from_buffer_copy(handle)
        self._call("cuIpcOpenMemHandle_v2", ctypes.byref(address), given, _LAZY_PEER_ACCESS)
        return address.value

    def close(self, address: int) -> None:
        """Let go of what `open` returned."""
        self._call("cuIpcCloseMemHandle", address)

    def _declare(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name)
        function.argtypes, function.restype = arguments, ctypes.c_int

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            words = (text.value or b"an unknown error").decode()
            raise CudaIpcError(f"CUDA's {name.removesuffix('_v2')} answers {words}")


class OwnMemory:
    """Memory on this process' GPU, to be opened by another."""

    def __init__(self, device: "torch.device", size: int, driver: Driver | None = None) -> None:
        """Allocate and share it.

        Raises:
            CudaIpcError: it cannot be had or not be shared.
        """
        self._device = device
        self._driver = driver or Driver()
        with _current(device):
            self._address = self._driver.allocate(size)
            try:
                handle = self._driver.share(self._address)
            except CudaIpcError:
                self._driver.free(self._address)
                raise
        self.handle = SharedHandle(handle, uuid_of(device), size)
        self.tensor = _tensor_at(self._address, size, device)

    def close(self) -> None:
        """Free it; the other process must have let go of it."""
        del self.tensor
        with _current(self._device):
            self._driver.free(self._address)


class TheirMemory:
    """Another process' memory, on a GPU that this one sees too."""

    def __init__(self, handle: SharedHandle, driver: Driver | None = None) -> None:
        """Open it.

        Raises:
            CudaIpcError: it cannot be reached from here.
        """
        self._device = device_with(handle.uuid)
        self._driver = driver or Driver()
        with _current(self._device):
            self._address = self._driver.open(handle.handle)
        self.tensor = _tensor_at(self._address, handle.size, self._device)

    def close(self) -> None:
        """Let go of it."""
        del self.tensor
        with _current(self._device):
            self._driver.close(self._address)


def uuid_of(device: "torch.device") -> str:
    """The GPU's name in all processes, whatever number it has there."""
    import torch

    return str(torch.cuda.get_device_properties(device).uuid).lower()


def device_with(uuid: str) -> "torch.device":
    """This process' number for a GPU.

    Raises:
        CudaIpcError: it does not see it.
    """
    import torch

    for index in range(torch.cuda.device_count()):
        if uuid_of(torch.device("cuda", index)) == uuid:
            return torch.device("cuda", index)
    raise CudaIpcError(f"the engine's process does not see GPU {uuid}")


def _current(device: "torch.device") -> Any:
    """CUDA's context of a GPU, made if need be, for calls that go by this thread's current one."""
    import torch

    torch.cuda.synchronize(device)
    return torch.cuda.device(device)


class _Address:
    """What torch reads of memory that is not its own."""

    def __init__(self, address: int, size: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size,),
            "typestr": "|u1",
            "data": (address, False),
            "strides": None,
            "version": 3,
        }


def _tensor_at(address: int, size: int, device: "torch.device") -> "torch.Tensor":
    import torch

    with torch.cuda.device(device):
        found = torch.as_tensor(_Address(address, size), device=device)
    if found.data_ptr() != address:
        raise CudaIpcError("torch copies memory that it should use where it is")
    return found
