"""Two checkpoints' weights, tensor by tensor, without loading them: hashes of their bytes."""

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path

_LONGEST_HEADER = 100_000_000
_BLOCK = 1 << 24


@dataclass(frozen=True, slots=True)
class WeightsComparison:
    """The weights of both runs after one step.

    Attributes:
        step: Updates behind them.
        tensors: Tensors that either has.
        differing: Names of those that are not the same in name, type, shape and every bit.
    """

    step: int
    tensors: int
    differing: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Every tensor is."""
        return not self.differing


def compare_weights(recorded: Path, again: Path, step: int) -> WeightsComparison:
    """Compare the safetensors files of two checkpoint folders.

    Raises:
        ValueError, OSError: a file cannot be read.
    """
    old, new = (tensor_hashes(folder) for folder in (recorded, again))
    names = sorted({*old, *new})
    return WeightsComparison(step, len(names), tuple(n for n in names if old.get(n) != new.get(n)))


def tensor_hashes(folder: Path) -> dict[str, str]:
    """Name -> hash over type, shape and bytes, of every tensor in the folder's safetensors files.

    Raises:
        ValueError, OSError: a file cannot be read.
    """
    found: dict[str, str] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found |= _hashes(file)
    return found


def _hashes(file: Path) -> dict[str, str]:
    """As the format has it: length of the header, header as JSON, then the bytes of all tensors."""
    found = {}
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        if length > _LONGEST_HEADER:
            raise ValueError(f"{file} is no safetensors file")
        header = json.loads(stream.read(length))
        for name, facts in header.items():
            if name == "__metadata__":
                continue
            start, end = facts["data_offsets"]
            digest = hashlib.sha256(json.dumps([facts["dtype"], facts["shape"]]).encode())
            stream.seek(8 + length + start)
            for left in range(end - start, 0, -_BLOCK):
                digest.update(stream.read(min(_BLOCK, left)))
            found[name] = digest.hexdigest()
    return found
