"""Rows packed ahead of their pass, so that a GPU never waits for Python to join tuples.

A thread joins the examples of coming micro-batches in pinned memory while the GPU computes; the
copy is queued when the row is taken. A row of 16,384 positions is about half a megabyte, 20
microseconds of a PCIe link, so the copy needs no stream of its own.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import torch

from trainers.packed.row import PackedRow, Tokens, pack_row

_Key = tuple[int, ...]


@dataclass(slots=True)
class RowFeed:
    """Rows for one device; on any other than CUDA they are packed when they are taken.

    Attributes:
        device: Where rows are wanted.
    """

    device: torch.device
    _packer: ThreadPoolExecutor | None = None
    # the examples stay with their row: a key of addresses holds for living objects alone
    _coming: dict[_Key, tuple[Sequence[Tokens], Future[PackedRow]]] = field(default_factory=dict)

    def ahead(self, microbatches: Sequence[Sequence[Tokens]]) -> None:
        """Begin to pack these, in this order; what was begun before and is not among them goes."""
        if self.device.type != "cuda":
            return
        if self._packer is None:
            self._packer = ThreadPoolExecutor(1, thread_name_prefix="rows")
        before, self._coming = self._coming, {}
        for examples in microbatches:
            key = _key(examples)
            begun = before.get(key)
            self._coming[key] = begun or (examples, self._packer.submit(_pinned, examples))

    def take(self, examples: Sequence[Tokens]) -> PackedRow:
        """The row of these examples on the device, from the thread if it was told of them.

        Raises:
            ValueError: no example has two tokens.
        """
        begun = self._coming.pop(_key(examples), None)
        row = pack_row(examples) if begun is None else begun[1].result()
        return row.to(self.device)


def _key(examples: Sequence[Tokens]) -> _Key:
    return tuple(map(id, examples))


def _pinned(examples: Sequence[Tokens]) -> PackedRow:
    return pack_row(examples).pinned()
