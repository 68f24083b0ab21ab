"""Checkpoints: a model folder plus optimizer and RNG state, written whole or not at all.

A checkpoint is first written under a temporary name, every file synced to disk, a manifest of
checksums last, and then renamed. A folder `step-<n>` therefore always is a complete checkpoint;
what a later accident damaged is found by its checksums and skipped.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from safetensors.torch import load_file
from torch import Tensor

from core.errors import UserError
from core.whole_files import sync_folder
from trainers.checkpoint_manifest import (
    MANIFEST,
    OPTIMIZER,
    RNG,
    WEIGHTS,
    DamagedError,
    Manifest,
    manifest_bytes,
    read_manifest,
    verify,
)
from trainers.durable import FolderWriter
from trainers.optimization import Optimizer
from trainers.policy import Policy
from trainers.rng import capture_rng, restore_rng
from trainers.safetensors_stream import safetensors_bytes

_PREFIX = "step-"
_STEP = re.compile(rf"{_PREFIX}([0-9]+)")
_PARTIAL = ".partial-"
# config and tokenizer of a model do not change while it trains
_descriptions: WeakKeyDictionary[Any, dict[str, bytes]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class TrainerState:
    """Counters that a run continues from.

    Attributes:
        step: Updates done.
        tokens: Training tokens fed so far, without padding.
        seconds: Time of the updates so far.
        waited: Time so far in which updates were made ready: rollouts sampled and graded.
        method: What the method itself has to remember; JSON-ready.
        lr_factor: The learning rate is multiplied by it; rollbacks make it smaller.
        rollbacks: Rollbacks so far.
        watch: What the watchdog has seen of the updates; JSON-ready.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    method: dict[str, Any] | None = None
    lr_factor: float = 1.0
    rollbacks: int = 0
    watch: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a checkpoint holds, wherever it comes from.

    Names, not positions, say what belongs to what: the same checkpoint can be loaded by a run
    that groups or shards its parameters differently.

    Attributes:
        weights: As in the model's `state_dict`; tied weights once.
        optimizer: `<parameter name>.<moment>`, as `Optimizer.tensors` gives it.
        rng: As `capture_rng` gives it.
        files: Config and tokenizer: content by file name.
    """

    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]
    rng: Mapping[str, Tensor]
    files: Mapping[str, bytes]


def save_checkpoint(
    folder: Path, policy: Policy, optimizer: Optimizer, state: TrainerState
) -> Path:
    """Write `<folder>/step-<n>` of a policy that this process holds whole; see `write_checkpoint`.

    Raises:
        OSError: the disk is full or cannot be written; nothing half-written is left behind.
    """
    return write_checkpoint(folder, lambda: contents_of(policy, optimizer, folder), state)


def contents_of(policy: Policy, optimizer: Optimizer, scratch: Path) -> Contents:
    """What a checkpoint of this policy and optimizer holds, without copies.

    Args:
        policy: What is trained.
        optimizer: Its optimizer.
        scratch: A folder for files that are gone on return; made where it is missing.
    """
    weights: dict[str, Tensor] = {}
    stored: set[int] = set()
    for name, tensor in policy.named_weights():
        # tied weights are one tensor under two names; a file holds it once
        if tensor.data_ptr() not in stored:
            stored.add(tensor.data_ptr())
            weights[name] = tensor
    return Contents(weights, optimizer.tensors(), capture_rng(), _described(policy, scratch))


def write_checkpoint(
    folder: Path,
    contents: Callable[[], Contents],
    state: TrainerState,
) -> Path:
    """Write `<folder>/step-<n>`: a folder of that name is always complete and on disk.

    Args:
        folder: Where checkpoints go.
        contents: What to write. Its tensors must not change until this function returns.
        state: The counters.

    Raises:
        OSError: the disk is full or cannot be written; nothing half-written is left behind.
    """
    final = folder / f"{_PREFIX}{state.step:06d}"
    partial = folder / f"{_PARTIAL}{state.step:06d}"
    _clean(folder)
    try:
        partial.mkdir(parents=True)
        with FolderWriter(partial) as writer:
            _write_tensors(writer, contents())
            _write_manifest(writer, state)
            writer.sync()
        _publish(partial, final)
    except BaseException as error:
        _remove(partial)
        if isinstance(error, OSError):
            raise OSError(f"checkpoint {final} could not be written: {error}") from error
        raise
    return final


def restore(checkpoint: Path, optimizer: Optimizer, device: torch.device) -> TrainerState:
    """Put optimizer and RNG back; the policy is loaded from the same folder beforehand.

    The checkpoint is one that was found whole; its checksums are not computed again.
    """
    optimizer.restore(load_file(checkpoint / OPTIMIZER, device=str(device)))
    restore_rng(load_file(checkpoint / RNG))
    return TrainerState(**read_manifest(checkpoint).state)


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first, whole or not."""
    found = folder.iterdir() if folder.is_dir() else ()
    named = (path for path in found if checkpoint_step(path) >= 0 and path.is_dir())
    return sorted(named, key=lambda path: (checkpoint_step(path), path.name))


def checkpoint_step(path: Path) -> int:
    """Updates behind a checkpoint, from its name; -1 where it is not that of a checkpoint."""
    match = _STEP.fullmatch(path.name)
    return int(match[1]) if match else -1


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when every checksum holds."""
    try:
        state = verify(path).state
    except DamagedError as error:
        return str(error)
    if state["step"] != checkpoint_step(path):
        return f"it holds step {state['step']}"
    known = {field.name for field in fields(TrainerState)}
    if unknown := sorted(state.keys() - known):
        return f"it holds counters of another version: {', '.join(unknown)}"
    return None


def size_and_hash(path: Path) -> tuple[int, str]:
    """Bytes of a checkpoint, and the SHA-256 of its manifest, which seals the other files."""
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return size, hashlib.sha256((path / MANIFEST).read_bytes()).hexdigest()


def newest_whole(folder: Path) -> tuple[Path | None, dict[Path, str]]:
    """The newest undamaged checkpoint, and what was skipped on the way to it."""
    skipped: dict[Path, str] = {}
    for path in reversed(checkpoints(folder)):
        problem = damage(path)
        if problem is None:
            return path, skipped
        skipped[path] = problem
    return None, skipped


def find_checkpoint(folder: Path, step: int | None, run: str) -> Path:
    """The checkpoint of one step, or the newest whole one.

    Raises:
        UserError: there is none, or it is damaged.
    """
    available = checkpoints(folder)
    if not available:
        raise UserError(f"run {run} has no checkpoint; run it (again) to the first one")
    if step is None:
        path, _ = newest_whole(folder)
        if path is None:
            raise UserError(f"every checkpoint of run {run} is damaged; run it again")
        return path
    problem: str | None = None
    for path in available:
        if checkpoint_step(path) == step:
            problem = damage(path)
            if problem is None:
                return path
    if problem is not None:
        raise UserError(f"checkpoint {step} of run {run} is damaged: {problem}")
    steps = ", ".join(str(checkpoint_step(path)) for path in available)
    raise UserError(f"run {run} has no checkpoint of step {step}; it has {steps}")


def prune(folder: Path, keep_last: int, protected: Collection[int] = ()) -> list[Path]:
    """Delete old checkpoints and return what went; where a link leads is left alone.

    Args:
        folder: Where the checkpoints are.
        keep_last: How many of the newest steps stay; at least one.
        protected: Steps that stay however old they are, whether or not newest.
    """
    found = checkpoints(folder)
    newest = sorted({checkpoint_step(path) for path in found})[-keep_last:]
    surplus = [path for path in found if checkpoint_step(path) not in {*newest, *protected}]
    for path in surplus:
        _remove(_retire(path))
    return surplus


def _write_tensors(writer: FolderWriter, contents: Contents) -> None:
    for name, content in contents.files.items():
        writer.write(name, [content])
    writer.write(WEIGHTS, safetensors_bytes(contents.weights, {"format": "pt"}))
    writer.write(OPTIMIZER, safetensors_bytes(contents.optimizer))
    writer.write(RNG, safetensors_bytes(contents.rng))


def _write_manifest(writer: FolderWriter, state: TrainerState) -> None:
    manifest = Manifest(asdict(state), writer.checksums())
    writer.write(MANIFEST, [manifest_bytes(manifest)])


def _publish(partial: Path, final: Path) -> None:
    """Give a folder whose files are on disk its name, and have that on disk too."""
    replaced = _retire(final) if final.exists() or final.is_symlink() else None
    partial.rename(final)
    for folder in (final.parent, final.parent.parent):  # the first checkpoint made its folder too
        sync_folder(folder)
    if replaced is not None:
        _remove(replaced)


def _retire(path: Path) -> Path:
    """Take a checkpoint's name away at one stroke: a kill then leaves no torn one."""
    retired = path.with_name(f"{_PARTIAL}old-{path.name}")
    _remove(retired)
    return path.rename(retired)


def _clean(folder: Path) -> None:
    """Delete what killed runs left half-written or half-deleted."""
    for path in folder.glob(f"{_PARTIAL}*"):
        _remove(path)


def _remove(path: Path) -> None:
    """Delete a folder, or a link but not what it leads to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _described(policy: Policy, scratch: Path) -> dict[str, bytes]:
    known = _descriptions.get(policy.model)
    if known is None:
        known = _descriptions[policy.model] = _describe(policy, scratch)
    return known


def _describe(policy: Policy, scratch: Path) -> dict[str, bytes]:
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=scratch) as name:
        folder = Path(name)
        policy.model.config.save_pretrained(folder)
        policy.model.generation_config.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
