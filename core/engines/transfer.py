"""Weights on their way into another process: piece by piece through memory that both see.

The memory is small and used in two halves: while one is read, the other is filled. No more than
one tensor is ever copied on the sender's side, and only where it is not in the engine's precision
already.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engines.weights import INPUT_EMBEDDING, OUTPUT_HEAD

if TYPE_CHECKING:
    import torch

Weights = Iterable[tuple[str, "torch.Tensor"]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a tensor, as it lies in the shared memory.

    Attributes:
        name: Of the weight.
        shape: Of the whole weight.
        at: First byte within the weight.
        offset: First byte within the shared memory.
        size: In bytes.
    """

    name: str
    shape: tuple[int, ...]
    at: int
    offset: int
    size: int


class Sender:
    """Fills one half of the shared memory after the other."""

    def __init__(
        self,
        memory: "torch.Tensor",
        dtype: "torch.dtype",
        post: Callable[[Sequence[Piece]], None],
        settle: Callable[[], None],
    ) -> None:
        """Send through this memory.

        Args:
            memory: Shape (size,), uint8, on the CPU or on the weights' GPU.
            dtype: Of the engine.
            post: Tells the other side what lies there.
            settle: Waits until the other side has read what was posted first.
        """
        self._memory, self._dtype = memory, dtype
        self._post, self._settle = post, settle
        self._half = len(memory) // 2
        self._pieces: list[Piece] = []
        self._filled = 0
        self._posted = 0
        self._turn = 0

    def send(self, weights: Weights) -> None:
        """Send all of them; a tied output head, which the receiver knows to be one, only once."""
        import torch

        embedding: torch.Tensor | None = None
        with torch.no_grad():
            for name, tensor in weights:
                # held, so that no other tensor can come to lie at its address
                if name == INPUT_EMBEDDING:
                    embedding = tensor
                if name == OUTPUT_HEAD and _same(tensor, embedding):
                    continue
                flat = tensor.detach().to(self._dtype).contiguous().view(-1).view(torch.uint8)
                self._put(name, tuple(tensor.shape), flat)
            self._hand_over()
        self.finish()

    def finish(self) -> None:
        """Wait until all that was posted has been read."""
        while self._posted:
            self._settle()
            self._posted -= 1

    def _put(self, name: str, shape: tuple[int, ...], flat: "torch.Tensor") -> None:
        at = 0
        while at < len(flat):
            size = min(len(flat) - at, self._half - self._filled)
            offset = self._turn * self._half + self._filled
            self._memory[offset : offset + size].copy_(flat[at : at + size])
            self._pieces.append(Piece(name, shape, at, offset, size))
            self._filled += size
            at += size
            if self._filled == self._half:
                self._hand_over()

    def _hand_over(self) -> None:
        """Post the half that is full, and make sure that the next one may be written to."""
        if not self._pieces:
            return
        wait_for(self._memory.device)
        self._post(self._pieces)
        self._posted += 1
        self._pieces, self._filled, self._turn = [], 0, 1 - self._turn
        if self._posted == 2:
            self._settle()
            self._posted -= 1


class Receiver:
    """Puts the pieces together on the engine's device."""

    def __init__(self, dtype: "torch.dtype", device: "torch.device") -> None:
        """Receive weights of this precision, to lie on this device."""
        self._dtype, self._device = dtype, device
        self._tensors: dict[str, torch.Tensor] = {}

    def take(self, memory: "torch.Tensor", pieces: Sequence[Piece]) -> None:
        """Copy pieces out of the shared memory; when this returns, that may be written to."""
        import torch

        for piece in pieces:
            tensor = self._tensors.get(piece.name)
            if tensor is None:
                tensor = torch.empty(piece.shape, dtype=self._dtype, device=self._device)
                self._tensors[piece.name] = tensor
            target = tensor.view(-1).view(torch.uint8)[piece.at : piece.at + piece.size]
            target.copy_(memory[piece.offset : piece.offset + piece.size])
        wait_for(memory.device)
        wait_for(self._device)

    def drain(self) -> Iterator[tuple[str, "torch.Tensor"]]:
        """The weights; each is let go of as it is given."""
        for name in list(self._tensors):
            yield name, self._tensors.pop(name)


def wait_for(device: "torch.device") -> None:
    """Wait until a GPU has done what it was told on its current stream."""
    if device.type == "cuda":
        import torch

        torch.cuda.current_stream(device).synchronize()


def _same(one: "torch.Tensor", other: "torch.Tensor | None") -> bool:
    return (
        other is not None
        and one.data_ptr() == other.data_ptr()
        and one.shape == other.shape
        and one.dtype == other.dtype
    )
