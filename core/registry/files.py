"""What a run leaves on disk: size and hash of its files, and room for its last words."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from core.units import MIB

_BLOCK = 8 * MIB
_RESERVE_BYTES = 256 * 1024


class Reserve:
    """Disk space held back while a run works, so that a full disk can still learn how it ended.

    Args:
        path: The file that holds the space.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def take(self) -> None:
        """Hold the space, if there is any."""
        try:
            self._path.write_bytes(bytes(_RESERVE_BYTES))
        except OSError:
            self.release()

    def release(self) -> None:
        """Give the space back."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)


def describe(
    path: Path, between_blocks: Callable[[], None] | None = None
) -> tuple[int, str] | None:
    """Bytes and SHA-256 of a file, or of a folder.

    A folder's hash is taken over the relative path and the hash of each of its files, by name.

    Args:
        path: What to look at.
        between_blocks: Called every few megabytes.

    Returns:
        None when it is not there (any more).
    """
    try:
        if path.is_dir():
            return _describe_folder(path, between_blocks)
        return _describe_file(path, between_blocks)
    except FileNotFoundError:
        return None


def _describe_folder(path: Path, tick: Callable[[], None] | None) -> tuple[int, str]:
    total, digest = 0, hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        size, sha256 = _describe_file(file, tick)
        total += size
        digest.update(f"{file.relative_to(path).as_posix()}\0{sha256}\n".encode())
    return total, digest.hexdigest()


def _describe_file(path: Path, tick: Callable[[], None] | None) -> tuple[int, str]:
    total, digest = 0, hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            total += len(block)
            if tick is not None:
                tick()
    return total, digest.hexdigest()
