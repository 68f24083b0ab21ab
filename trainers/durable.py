"""New files that are hashed on their way to the disk, and on disk when `sync` returns.

Bytes are gathered in a few buffers. While a second thread has one written, the first fills the next
and hashes it while it is still in the processor's cache, so nothing is read back. Large files go
past the page cache where the system lets them (O_DIRECT), which costs less than half the processor
time and leaves the cache to those who read.
"""

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from types import TracebackType

from blake3 import blake3

from core.units import MIB
from core.whole_files import sync_folder

# a multiple of every block size that direct writing may ask for
_BUFFER_BYTES = 4 * MIB
_BUFFERS = 3
# file systems with a journal settle syncs that are asked for together in one go
_SYNC_THREADS = 8
_KIND = "blake3"
# kept from one checkpoint to the next: the first touch of fresh memory costs as much as its hashing
_spare: list[memoryview] = []


class FolderWriter:
    """Writes new files into a folder that exists.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, FileIO] = {}
        self._checksums: dict[str, str] = {}
        self._writing = ThreadPoolExecutor(1)
        self._buffers = [_take_buffer() for _ in range(_BUFFERS)]
        self._written: list[Future[None] | None] = [None] * _BUFFERS
        self._turn = 0

    def __enter__(self) -> "FolderWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._writing.shutdown()
        _spare.extend(self._buffers)
        for file in self._files.values():
            file.close()

    def write(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """Write one file.

        Args:
            name: Path inside the folder, with forward slashes; folders are made.
            parts: Its bytes, in order.

        Raises:
            OSError: it is there already, or it, or a file before it, cannot be written.
        """
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        file = self._files[name] = FileIO(path, "x")
        checksum = blake3()
        for block in self._blocks(parts):
            self._written[self._turn] = self._writing.submit(_write, file, block)
            self._turn = (self._turn + 1) % _BUFFERS
            checksum.update(block)
        self._checksums[name] = f"{_KIND}:{checksum.hexdigest()}"

    def checksums(self) -> dict[str, str]:
        """Checksums of the files written so far, by name."""
        return dict(self._checksums)

    def sync(self) -> None:
        """Return when every file, and every folder that names one, is on disk.

        Raises:
            OSError: the disk could not take them.
        """
        for written in self._written:
            if written is not None:
                written.result()
        paths = [self._folder / name for name in self._files]
        folders = {parent for path in paths for parent in path.parents} - {*self._folder.parents}
        with ThreadPoolExecutor(_SYNC_THREADS) as pool:
            syncs = [pool.submit(os.fsync, file.fileno()) for file in self._files.values()]
            syncs += [pool.submit(sync_folder, folder) for folder in folders]
        for done in syncs:
            done.result()

    def _blocks(self, parts: Iterable[bytes | memoryview]) -> Iterator[memoryview]:
        """The same bytes as full buffers, the last one less."""
        buffer, filled = self._free_buffer(), 0
        for part in parts:
            rest = memoryview(part)
            while rest:
                taken = rest[: _BUFFER_BYTES - filled]
                buffer[filled : filled + len(taken)] = taken
                filled, rest = filled + len(taken), rest[len(taken) :]
                if filled == _BUFFER_BYTES:
                    yield buffer
                    buffer, filled = self._free_buffer(), 0
        if filled:
            yield buffer[:filled]

    def _free_buffer(self) -> memoryview:
        written = self._written[self._turn]
        if written is not None:
            written.result()  # raises what the disk said
        return self._buffers[self._turn]


def checksum_of(path: Path) -> str:
    """The checksum that `FolderWriter` gives a file, taken from the disk."""
    checksum = blake3()
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with path.open("rb", buffering=0) as file:
        while size := file.readinto(buffer):
            checksum.update(buffer[:size])
    return f"{_KIND}:{checksum.hexdigest()}"


def checksum_of_bytes(content: bytes) -> str:
    """The same of bytes in memory."""
    return f"{_KIND}:{blake3(content).hexdigest()}"


def _take_buffer() -> memoryview:
    """A buffer of one's own; mapped memory begins at a page, as direct writing wants it."""
    try:
        return _spare.pop()
    except IndexError:
        return memoryview(mmap.mmap(-1, _BUFFER_BYTES))


def _write(file: FileIO, block: memoryview) -> None:
    _go_past_the_cache(file, len(block) == _BUFFER_BYTES)
    while block:
        try:
            size = file.write(block)
        except OSError as error:
            # a file system may take the flag and yet refuse to write so
            if error.errno != errno.EINVAL or not _go_past_the_cache(file, False):
                raise
            continue
        block = block[size:]


def _go_past_the_cache(file: FileIO, wanted: bool) -> bool:
    """Switch direct writing on or off where there is such a thing; True when that changed it."""
    if sys.platform != "linux":
        return False
    import fcntl

    flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
    changed = flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT
    if changed == flags:
        return False
    with contextlib.suppress(OSError):  # not on this file system: through the cache, then
        fcntl.fcntl(file.fileno(), fcntl.F_SETFL, changed)
        return True
    return False
