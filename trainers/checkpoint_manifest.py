"""The list of a checkpoint's files with their checksums, and what is wrong with a checkpoint.

A manifest carries a checksum of itself. Those written before that (plain SHA-256 of each file, no
checksum of its own) are still read and verified.
"""

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from core.tree_hash import canonical_json
from trainers.durable import checksum_of, checksum_of_bytes

MANIFEST = "trainer/manifest.json"
WEIGHTS = "model.safetensors"
OPTIMIZER = "trainer/optimizer.safetensors"
RNG = "trainer/rng.safetensors"
_NEEDED = ("config.json", WEIGHTS, OPTIMIZER, RNG)
_KEYS = {"state", "files"}
_SEAL = "checksum"
_HASHING_THREADS = 2


class DamagedError(ValueError):
    """What is wrong with a checkpoint, in words."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint says of itself.

    Attributes:
        state: The run's counters, as JSON.
        files: Checksum of every other file, by its path inside the folder.
    """

    state: Mapping[str, Any]
    files: Mapping[str, str]


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file's content."""
    content = {"state": dict(manifest.state), "files": dict(manifest.files)}
    return json.dumps({**content, _SEAL: _seal(content)}, indent=2).encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint, checked as far as it can be without reading other files.

    Raises:
        DamagedError: it is missing, changed, incomplete, or names a file outside the folder.
    """
    try:
        content = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} cannot be read ({error})") from error
    if not isinstance(content, dict) or content.keys() - {_SEAL} != _KEYS:
        raise DamagedError(f"{MANIFEST} is not a manifest")
    seal = content.pop(_SEAL, None)
    if seal is not None and seal != _seal(content):
        raise DamagedError(f"{MANIFEST} has changed since it was written")
    _check_parts(content["state"], content["files"])
    return Manifest(content["state"], content["files"])


def verify(folder: Path) -> Manifest:
    """The manifest of a checkpoint of which every checksum holds; each file is read once.

    Raises:
        DamagedError: something is wrong.
    """
    manifest = read_manifest(folder)
    for name in manifest.files:
        _check_place(folder, name)
    with ThreadPoolExecutor(_HASHING_THREADS) as pool:
        same = pool.map(lambda item: _unchanged(folder / item[0], item[1]), manifest.files.items())
        for name, holds in zip(manifest.files, same, strict=True):
            if not holds:
                raise DamagedError(f"{name} has changed since it was written")
    return manifest


def _check_parts(state: object, files: object) -> None:
    if not isinstance(state, dict) or type(state.get("step")) is not int:
        raise DamagedError(f"{MANIFEST} holds no step")
    if not isinstance(files, dict) or not all(isinstance(sum_, str) for sum_ in files.values()):
        raise DamagedError(f"{MANIFEST} holds no list of files")
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\\" in name:
            raise DamagedError(f"{MANIFEST} names a file outside the checkpoint: {name!r}")
    if missing := [name for name in _NEEDED if name not in files]:
        raise DamagedError(f"{MANIFEST} does not list {missing[0]}")


def _check_place(folder: Path, name: str) -> None:
    file = folder / name
    if not file.is_file():
        raise DamagedError(f"{name} is missing")
    if not file.resolve().is_relative_to(folder.resolve()):
        raise DamagedError(f"{name} is a link that leads outside the checkpoint")


def _unchanged(file: Path, recorded: str) -> bool:
    try:
        if ":" in recorded:
            return checksum_of(file) == recorded
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == recorded
    except OSError as error:
        raise DamagedError(f"{file.name} cannot be read ({error})") from error


def _seal(content: Mapping[str, Any]) -> str:
    return checksum_of_bytes(canonical_json(content).encode())
