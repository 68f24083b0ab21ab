"""Rollout batches on disk while a run learns from them: a resumed run samples none twice.

One file per batch: a checksum, and a safetensors file behind it. It is written under another name,
synced and renamed, so that a name always stands for a whole batch; what an accident did to it later
is found by the checksum, and the batch is then as good as never stored.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from blake3 import blake3
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from core.rollouts import RolloutBatch
from core.whole_files import replacing, sync_folder
from trainers.rollouts.packing import pack_batch, unpack_batch
from trainers.safetensors_stream import safetensors_bytes

_NAME = re.compile(r"batch-([0-9]+)-step-([0-9]+)\.rollouts")
_PARTIAL = ".partial"
_CHECKSUM_BYTES = 32


class RolloutStore:
    """The rollout batches of one run.

    Args:
        folder: Where they go; made when it is first needed. One process uses it at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, batch: RolloutBatch, tensors: Mapping[str, Tensor]) -> None:
        """Have a batch on disk when this returns, in place of an older one of the same numbers.

        Args:
            batch: What was sampled.
            tensors: What was computed with the policy that sampled it, by name: log-probabilities
                that later updates compare with, for example.

        Raises:
            OSError: it cannot be written; nothing half-written is left behind.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        final = self._path(batch.number, batch.first_step)
        parts = list(safetensors_bytes(pack_batch(batch, tensors)))
        checksum = blake3()
        for part in parts:
            checksum.update(part)
        try:
            with replacing(final) as file:
                file.write(checksum.digest())
                file.writelines(parts)
            sync_folder(self._folder.parent)
        except OSError as error:
            raise OSError(f"rollouts {final} could not be written: {error}") from error

    def load(self, number: int, first_step: int) -> tuple[RolloutBatch, dict[str, Tensor]] | None:
        """A batch as it was saved, its tensors on the CPU; None when it is not there, or damaged.

        Args:
            number: Of the batch.
            first_step: The update that first learns from it.
        """
        try:
            data = self._path(number, first_step).read_bytes()
            batch, tensors = _read(data)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError):
            return None
        same = (batch.number, batch.first_step) == (number, first_step)
        return (batch, tensors) if same else None

    def forget_after(self, step: int) -> None:
        """Delete what was sampled with more than `step` updates behind the policy.

        For a run that goes back to `step` and may take another course from there. The batch that
        update `step + 1` begins with was sampled in just that state, and stays.
        """
        for first_step, path in self._stored():
            if first_step > step + 1:
                path.unlink(missing_ok=True)

    def prune(self, before_step: int) -> None:
        """Delete what no run needs that goes on at update `before_step` or later.

        The newest batch from before it stays: its updates may not be over. What killed processes
        left half-written goes too.
        """
        stored = self._stored()
        begun = [first_step for first_step, _ in stored if first_step <= before_step]
        for first_step, path in stored:
            if begun and first_step < max(begun):
                path.unlink(missing_ok=True)
        for path in self._folder.glob(f"*{_PARTIAL}"):
            path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete every batch: the run is over, and nothing can go on with them."""
        for path in (*self._folder.glob("*.rollouts"), *self._folder.glob(f"*{_PARTIAL}")):
            path.unlink(missing_ok=True)

    def _path(self, number: int, first_step: int) -> Path:
        return self._folder / f"batch-{number:06d}-step-{first_step:06d}.rollouts"

    def _stored(self) -> list[tuple[int, Path]]:
        """(first step, file) of every batch."""
        found = self._folder.iterdir() if self._folder.is_dir() else ()
        matches = [(_NAME.fullmatch(path.name), path) for path in found]
        return [(int(match[2]), path) for match, path in matches if match is not None]


def _read(data: bytes) -> tuple[RolloutBatch, dict[str, Tensor]]:
    digest, payload = data[:_CHECKSUM_BYTES], data[_CHECKSUM_BYTES:]
    if blake3(payload).digest() != digest:
        raise ValueError("the rollouts have changed since they were written")
    return unpack_batch(load(payload))
