"""Following the live memory of CUDA tensors on a machine without a GPU.

Under `FakeTensorMode` a tensor says that it is on CUDA and has a shape, a dtype and a storage of
so many bytes, and no numbers. Autograd, autocast, the optimizer and our own code run as they are,
so storages are made and dropped in the order in which they would be on a GPU. `Follower` writes
that down, and adds what kernels allocate for themselves, which no fake tensor shows.

It follows bytes as torch's allocator counts them (`torch.cuda.memory_allocated`: each block rounded
up to 512). It measures nothing.
"""

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BLOCK = 512  # CUDACachingAllocator's kMinBlockSize
_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Move:
    """A block that was taken (bytes above 0) or given back (below 0)."""

    block: int
    size: int


@dataclass(frozen=True, slots=True)
class Block:
    """Something that was allocated.

    Attributes:
        size: Bytes, rounded up.
        shape: Of the tensor; empty for what a kernel allocates for itself.
        dtype: Of the tensor.
        made_by: The operator.
    """

    size: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    made_by: str


@dataclass(slots=True)
class Trace:
    """Everything that happened, in order.

    Attributes:
        moves: Blocks taken and given back.
        blocks: What they were, by number.
        kinds: What blocks turned out to be for: weights, gradients, moments; activations else.
    """

    moves: list[Move] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)

    def peak(self, start: int = 0) -> tuple[int, dict[str, int]]:
        """The largest sum of live bytes behind move `start`, and what it was made of."""
        at, highest, now = 0, 0, 0
        for place, move in enumerate(self.moves):
            now += move.size
            if now > highest and place >= start:
                at, highest = place, now
        return highest, self._parts(self.live(at))

    def live(self, place: int) -> set[int]:
        """Blocks that are taken right behind a move."""
        found: set[int] = set()
        for move in self.moves[: place + 1]:
            (found.add if move.size > 0 else found.discard)(move.block)
        return found

    def _parts(self, blocks: set[int]) -> dict[str, int]:
        parts: dict[str, int] = {}
        for block in blocks:
            kind = self.kinds.get(block, "activations")
            parts[kind] = parts.get(kind, 0) + self.blocks[block].size
        return parts


class Follower(TorchDispatchMode):
    """Writes down every CUDA storage that is made and dropped while it is entered.

    It has to be entered within `FakeTensorMode`. Numbers that are asked for are 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trace = Trace()
        self._block_of: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is _aten._local_scalar_dense.default:
            return 0.0 if args[0].dtype.is_floating_point else 0
        own = _own_of_kernel(func, args)
        hidden = self._take(own, (), torch.uint8, str(func)) if own else None
        result = func(*args, **kwargs)
        if _engine_adds(func, args):
            self._hand_over(args[0], result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._see(leaf, str(func))
        if hidden is not None:
            self._give_back(hidden)
        return result

    def mark(self, kind: str, tensors: Iterator[Tensor]) -> None:
        """Say what the storages of tensors are for."""
        for tensor in tensors:
            block = self._block_of.get(tensor.untyped_storage()._cdata)
            if block is not None:
                self.trace.kinds[block] = kind

    def see(self, tensors: Iterator[Tensor]) -> None:
        """Count tensors that were made before this was entered."""
        for tensor in tensors:
            self._see(tensor, "before")

    def _see(self, tensor: Tensor, made_by: str) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, _rounded(storage.nbytes())
        if key in self._block_of or not size:
            return
        block = self._take(size, tuple(tensor.shape), tensor.dtype, made_by)
        self._block_of[key] = block
        weakref.finalize(storage, self._drop, key, block)

    def _drop(self, key: int, block: int) -> None:
        if self._block_of.get(key) == block:
            del self._block_of[key]
            self._give_back(block)

    def _hand_over(self, old: Tensor, new: Tensor) -> None:
        """The sum takes the place of its first term, as it does where tensors are no subclass."""
        block = self._block_of.pop(old.untyped_storage()._cdata, None)
        if block is None:
            return
        storage = new.untyped_storage()
        self._block_of[storage._cdata] = block
        weakref.finalize(storage, self._drop, storage._cdata, block)

    def _take(self, size: int, shape: tuple[int, ...], dtype: torch.dtype, made_by: str) -> int:
        self.trace.blocks.append(Block(size, shape, dtype, made_by))
        self.trace.moves.append(Move(len(self.trace.blocks) - 1, size))
        return len(self.trace.blocks) - 1

    def _give_back(self, block: int) -> None:
        self.trace.moves.append(Move(block, -self.trace.blocks[block].size))


def _engine_adds(func: Any, args: tuple[Any, ...]) -> bool:
    """Autograd adds up two gradients of one tensor.

    It does so in place unless they are of a subclass, as fake tensors are. Derivatives in our
    models bring no sum of two equal shapes themselves.
    """
    if func is not _aten.add.Tensor or torch.is_grad_enabled() or _node() is None:
        return False
    first, second = args[:2]
    return isinstance(second, Tensor) and (first.shape, first.dtype) == (second.shape, second.dtype)


def _node() -> Any:
    return torch._C._current_autograd_node()


def _own_of_kernel(func: Any, args: tuple[Any, ...]) -> int:
    """Bytes that a kernel allocates for itself while it runs; from torch's sources."""
    if func is _aten.logsumexp.default:
        # ReduceOps.cpp: exp(x - max) is written down before it is added up
        return _rounded(args[0].numel() * args[0].element_size())
    if str(func).startswith("torch_attn._varlen_attn_backward"):
        return _flash_backward(args[1], args[2])
    return 0


def _flash_backward(query: Tensor, key: Tensor) -> int:
    """flash_api.cpp, mha_varlen_bwd: the gradient of queries adds up in float32, keys and values
    are expanded to as many heads as queries where they have fewer, and a sum per row."""
    positions, heads, size = query.shape
    wide = _rounded(4 * positions * heads * size) + _rounded(4 * positions * heads)
    if key.shape[1] == heads:
        return wide
    return wide + 2 * _rounded(query.element_size() * key.shape[0] * heads * size)


def _rounded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
