"""Checkpoints: a model folder plus optimizer and RNG state, written whole or not at all.

A checkpoint is first written under a temporary name, every file synced to disk, a manifest of
checksums last, and then renamed. A folder `step-<n>` therefore always is a complete checkpoint;
what a later accident damaged is found by its checksums and skipped.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from core.errors import UserError
from trainers.optimization import Optimizer
from trainers.policy import Policy
from trainers.rng import capture_rng, restore_rng

# in a folder of its own, because engines read every safetensors file beside config.json as weights
_STATE = Path("trainer")
_MANIFEST = _STATE / "manifest.json"
_OPTIMIZER = _STATE / "optimizer.safetensors"
_RNG = _STATE / "rng.safetensors"
_PREFIX = "step-"


@dataclass(frozen=True, slots=True)
class TrainerState:
    """Counters that a run continues from.

    Attributes:
        step: Updates done.
        tokens: Training tokens fed so far, without padding.
        seconds: Training time so far.
        method: What the method itself has to remember; JSON-ready.
        lr_factor: The learning rate is multiplied by it; rollbacks make it smaller.
        rollbacks: Rollbacks so far.
        watch: What the watchdog has seen of the updates; JSON-ready.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    method: dict[str, Any] | None = None
    lr_factor: float = 1.0
    rollbacks: int = 0
    watch: dict[str, Any] | None = None


def save_checkpoint(
    folder: Path, policy: Policy, optimizer: Optimizer, state: TrainerState
) -> Path:
    """Write `<folder>/step-<n>` atomically.

    Raises:
        OSError: the disk is full or cannot be written; nothing half-written is left behind.
    """
    final = folder / f"{_PREFIX}{state.step:06d}"
    partial = folder / f".partial-{state.step:06d}"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        (partial / _STATE).mkdir(parents=True)
        policy.save(partial)
        _save_tensors(optimizer.tensors(), partial / _OPTIMIZER)
        _save_tensors(capture_rng(), partial / _RNG)
        _write_manifest(partial, state)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        _sync(folder)
    except BaseException as error:
        shutil.rmtree(partial, ignore_errors=True)
        if isinstance(error, Exception) and not isinstance(error, OSError):
            # safetensors reports a full disk as an error type of its own
            raise OSError(f"checkpoint {final} could not be written: {error}") from error
        raise
    return final


def restore(checkpoint: Path, optimizer: Optimizer, device: torch.device) -> TrainerState:
    """Put optimizer and RNG back; the policy is loaded from the same folder beforehand."""
    optimizer.restore(load_file(checkpoint / _OPTIMIZER, device=str(device)))
    restore_rng(load_file(checkpoint / _RNG))
    return TrainerState(**_manifest(checkpoint)["state"])


def checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders, oldest first, whole or not."""
    found = folder.glob(f"{_PREFIX}*") if folder.is_dir() else ()
    return sorted((path for path in found if path.is_dir()), key=checkpoint_step)


def checkpoint_step(path: Path) -> int:
    """Updates behind a checkpoint, from its name."""
    digits = path.name.removeprefix(_PREFIX)
    return int(digits) if digits.isdigit() else -1


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when every checksum holds."""
    try:
        files = _manifest(path)["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{_MANIFEST} cannot be read ({error})"
    for name, checksum in files.items():
        file = path / name
        if not file.is_file():
            return f"{name} is missing"
        if _sha256(file) != checksum:
            return f"{name} has changed since it was written"
    return None


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
    for path in available:
        if checkpoint_step(path) == step:
            problem = damage(path)
            if problem is not None:
                raise UserError(f"checkpoint {step} of run {run} is damaged: {problem}")
            return path
    steps = ", ".join(str(checkpoint_step(path)) for path in available)
    raise UserError(f"run {run} has no checkpoint of step {step}; it has {steps}")


def prune(folder: Path, keep_last: int, protected: Collection[int] = ()) -> list[Path]:
    """Delete all but the newest `keep_last` checkpoints and return what went.

    Args:
        folder: Holds the checkpoints.
        keep_last: How many to keep, newest first.
        protected: Steps whose checkpoints stay whatever their age.
    """
    older = checkpoints(folder)[:-keep_last]
    surplus = [path for path in older if checkpoint_step(path) not in protected]
    for path in surplus:
        shutil.rmtree(path)
    return surplus


def checkpoint_files(path: Path) -> Iterator[Path]:
    """Every file of a checkpoint."""
    return (file for file in sorted(path.rglob("*")) if file.is_file())


def _save_tensors(tensors: dict[str, Any], path: Path) -> None:
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)


def _write_manifest(folder: Path, state: TrainerState) -> None:
    files = {f.relative_to(folder).as_posix(): _sha256(f) for f in checkpoint_files(folder)}
    for name in files:
        _sync(folder / name)
    manifest = folder / _MANIFEST
    manifest.write_text(json.dumps({"state": asdict(state), "files": files}, indent=2))
    _sync(manifest)
    _sync(folder / _STATE)
    _sync(folder)


def _manifest(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / _MANIFEST).read_text())
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows cannot open a folder for syncing
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
