"""Log-probabilities under the policy a run started from: computed once, kept in the run's folder.

The file is written whole or not at all, and names what its figures belong to. A resumed run reads
the very same numbers; where the file is gone or damaged they are computed again.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from torch import Tensor

from core.whole_files import replacing
from trainers.pair_batches import PairExample
from trainers.safetensors_stream import safetensors_bytes

REFERENCE_FILE = "reference.safetensors"
_TENSOR, _KEY, _CHECKSUM = "log_probs", "belongs_to", "sha256"


def stored_reference(path: Path, key: str, compute: Callable[[], Tensor]) -> Tensor:
    """What the file holds, or else what `compute` gives, which is then on disk.

    Args:
        path: The file.
        key: What the figures belong to; a file with another one counts for nothing.
        compute: Finds them.

    Returns:
        Shape (pairs, 2), float64, nats.

    Raises:
        OSError: the file cannot be written.
    """
    found = _read(path, key)
    if found is not None:
        return found
    computed = compute()
    _write(path, key, computed)
    return computed


def reference_key(pairs: Sequence[PairExample], model_hash: str | None, passes: str) -> str:
    """SHA-256 (64 hex digits) over all that the figures depend on.

    Args:
        pairs: What is read.
        model_hash: Of the weights and the tokenizer.
        passes: Number formats that the figures of a forward pass depend on.
    """
    digest = hashlib.sha256(f"{model_hash} {passes}\n".encode())
    for pair in pairs:
        for example in (pair.chosen, pair.rejected):
            digest.update(f"{example.prompt_length} {_joined(example.token_ids)}\n".encode())
    return digest.hexdigest()


def _read(path: Path, key: str) -> Tensor | None:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            known = file.metadata() or {}
            tensor: Tensor = file.get_tensor(_TENSOR)
    except (OSError, SafetensorError):
        return None
    whole = known.get(_CHECKSUM) == _checksum(tensor)
    return tensor if whole and known.get(_KEY) == key else None


def _write(path: Path, key: str, tensor: Tensor) -> None:
    known = {_KEY: key, _CHECKSUM: _checksum(tensor)}
    with replacing(path) as file:
        file.writelines(safetensors_bytes({_TENSOR: tensor}, known))


def _checksum(tensor: Tensor) -> str:
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()


def _joined(ids: Iterable[int]) -> str:
    return ",".join(map(str, ids))
