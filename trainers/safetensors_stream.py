"""A safetensors file as a stream of bytes, tensor by tensor: no second copy of all weights.

The bytes equal those of the safetensors library: eight bytes with the length of a JSON header, the
header with the place of every tensor, the tensors. Written here, they can be hashed on the way, and
tensors can be fetched (from a GPU, from other processes) one at a time, when their turn comes.
"""

import json
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from core.units import MIB

# in the order in which the library sorts types: wide ones first, so that everything is aligned
_NAMES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_RANKS = {dtype: rank for rank, dtype in enumerate(_NAMES)}
_ALIGNMENT = 8
_SLICE_BYTES = 4 * MIB


def as_it_is(tensor: Tensor) -> Tensor:
    """The tensor itself: how tensors that are whole already are fetched."""
    return tensor


def file_order(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names in the order in which a file holds their tensors: by type, then by name.

    Raises:
        ValueError: a tensor has a dtype that the format does not know.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in _NAMES:
            raise ValueError(f"tensor {name} has dtype {tensor.dtype}, unknown to safetensors")
    return sorted(tensors, key=lambda name: (_RANKS[tensors[name].dtype], name))


def safetensors_bytes(
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    fetch: Callable[[Tensor], Tensor] = as_it_is,
) -> Iterator[bytes | memoryview]:
    """The parts of a safetensors file.

    Args:
        tensors: What it holds, by name; of any shape, on any device. Dtype and shape are read
            before the first tensor is fetched, and must be those of the fetched tensors.
        metadata: Texts for the header.
        fetch: Turns an entry of `tensors` into a whole tensor. Called once for each, in
            `file_order`; its result is let go before the next call where nobody else holds it.

    Raises:
        ValueError: a dtype is unknown to the format, or a tensor is not what was announced.
    """
    names = file_order(tensors)
    yield from _header(tensors, names, metadata)
    for name in names:
        tensor = fetch(tensors[name]).detach()
        if (tensor.dtype, tensor.shape) != (tensors[name].dtype, tensors[name].shape):
            raise ValueError(f"tensor {name} is not of the dtype and shape that were announced")
        yield from _parts(tensor)


def _header(
    tensors: Mapping[str, Tensor], names: list[str], metadata: Mapping[str, str] | None
) -> Iterator[bytes]:
    entries: dict[str, object] = {} if metadata is None else {"__metadata__": dict(metadata)}
    end = 0
    for name in names:
        tensor = tensors[name]
        start, end = end, end + tensor.numel() * tensor.dtype.itemsize
        entries[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    yield len(text).to_bytes(8, "little")
    yield text


def _parts(tensor: Tensor) -> Iterator[memoryview]:
    flat = tensor.contiguous().reshape(-1)
    for part in flat.split(_SLICE_BYTES // tensor.dtype.itemsize) if len(flat) else ():
        # a slice at a time, so that no whole tensor is copied from a GPU
        yield memoryview(part.cpu().view(torch.uint8).numpy())
