"""Are a run's recorded files still there, and still what they were?

A checkpoint is recorded by the checksum of its manifest, which lists the checksum of every other
file; anything else by the SHA-256 of the file, or of a folder's files.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from core.registry.files import describe
from core.registry.records import ArtifactRecord
from core.units import MIB

MANIFEST = "trainer/manifest.json"
"""In a checkpoint: the list of its files."""

_BLOCK = 4 * MIB


def changed(path: Path, recorded: ArtifactRecord, *, read: bool) -> str | None:
    """What is different about a file or folder that is there.

    Args:
        path: Where it is.
        recorded: What it was.
        read: Read every byte; without it only sizes are compared.

    Returns:
        In words; None when nothing is.
    """
    try:
        size = _size(path)
        if size != recorded.bytes:
            return f"has {size} bytes instead of {recorded.bytes}"
        return _other_content(path, recorded.sha256) if read else None
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _other_content(path: Path, recorded: str) -> str | None:
    manifest = path / MANIFEST
    if manifest.is_file():
        content = manifest.read_bytes()
        if hashlib.sha256(content).hexdigest() == recorded:
            return _other_files(path, content)
    found = describe(path)
    same = found is not None and found[1] == recorded
    return None if same else "has changed since it was recorded"


def _other_files(folder: Path, manifest: bytes) -> str | None:
    """The first file of which the manifest knows another checksum."""
    files: Mapping[str, str] = json.loads(manifest)["files"]
    for name, checksum in files.items():
        file = folder / name
        if not file.is_file():
            return f"lacks {name}"
        kind, _, value = checksum.rpartition(":")
        if _checksum(file, kind or "sha256") != value:
            return f"has another {name} than was recorded"
    return None


def _checksum(file: Path, kind: str) -> str:
    digest = _hasher(kind)()
    with file.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return str(digest.hexdigest())


def _hasher(kind: str) -> Callable[[], Any]:
    if kind == "blake3":
        from blake3 import blake3

        return blake3
    return hashlib.sha256


def _size(path: Path) -> int:
    if not path.is_dir():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
