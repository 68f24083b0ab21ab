"""The journal of a run: what the recorder wrote, line by line, in the run's own folder.

It is written before the database. Whatever happens to the database, or to the process between two
writes, the journal can be merged afterwards; merging twice changes nothing. A last line that a
kill tore apart is left out.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from core.units import MIB

if TYPE_CHECKING:
    from core.registry.entries import Entry
    from core.registry.store import Registry

JOURNAL_NAME = "journal.jsonl"
# longer ones are no lines: the file has a hole, or never held a journal
_LONGEST_LINE = 256 * MIB
_LINES_PER_TRANSACTION = 2000
_BYTES_PER_TRANSACTION = 16 * MIB


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did.

    Attributes:
        run_id: Short id of the run; None when the journal holds nothing yet.
        merged: Lines that were applied (again, some of them).
        damaged: Whole lines that could not be read, and were left out.
    """

    run_id: str | None
    merged: int
    damaged: int


class Journal:
    """Appends to a run's journal; a failed write is taken back.

    Args:
        folder: The run folder.
        name: Of the file in it.
    """

    def __init__(self, folder: Path, name: str = JOURNAL_NAME) -> None:
        self.path = folder / name
        self.size = 0
        self._file: IO[bytes] | None = None

    def append(self, lines: Sequence[bytes]) -> None:
        """Write whole lines and hand them to the operating system.

        Raises:
            OSError: nothing was written; the same lines can be tried again.
        """
        file = self._open()
        left = memoryview(b"".join(lines))
        try:
            while left:
                # a disk that fills up takes a part, and fails on the next write
                left = left[file.write(left) :]
        except OSError:
            self.close()
            # should even this fail, lines are written twice, which merging does not mind
            with contextlib.suppress(OSError):
                os.truncate(self.path, self.size)
            raise
        self.size += sum(map(len, lines))

    def sync(self) -> None:
        """Wait until the disk holds everything.

        Raises:
            OSError: it does not.
        """
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> IO[bytes]:
        if self._file is None:
            _end_torn_line(self.path)
            # unbuffered: after a failed write nothing may linger to be written later
            self._file = self.path.open("ab", buffering=0)
            self.size = os.fstat(self._file.fileno()).st_size
        return self._file


def append_lines(folder: Path, lines: Sequence[bytes], name: str = JOURNAL_NAME) -> None:
    """Add whole lines to a journal that nobody else writes now; the disk has them on return.

    Args:
        folder: Where it is; without lines nothing is made there.
        lines: With line breaks.
        name: Of the file.

    Raises:
        OSError: it cannot be written; nothing was.
    """
    if not lines:
        return
    journal = Journal(folder, name)
    try:
        journal.append(lines)
        journal.sync()
    finally:
        journal.close()


def journal_size(folder: Path) -> int:
    """Bytes in a run's journal; 0 when there is none."""
    try:
        return (folder / JOURNAL_NAME).stat().st_size
    except OSError:
        return 0


def merge_journal(registry: "Registry", folder: Path) -> MergeReport:
    """Bring everything in a run's journal into the registry, the run itself if it is not there.

    Only what the registry does not hold yet is read, unless the journal got shorter.

    Raises:
        RegistryUnavailableError: the registry cannot be written; nothing is lost.
    """
    from core.registry.merge import merge_lines

    return merge_lines(registry, folder)


def read_lines(path: Path, start: int = 0) -> Iterator[tuple[int, list[bytes]]]:
    """Whole lines from a byte offset on, in blocks, each with the offset behind its last line."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        file.seek(start)
        block: list[bytes] = []
        begin = end = start
        while (line := file.readline(_LONGEST_LINE)).endswith(b"\n"):
            block.append(line)
            end += len(line)
            if len(block) >= _LINES_PER_TRANSACTION or end - begin >= _BYTES_PER_TRANSACTION:
                yield end, block
                block, begin = [], end
        if block:
            yield end, block


def parse_lines(lines: Sequence[bytes]) -> "tuple[list[Entry], int]":
    """Entries of whole lines, and how many lines could not be read."""
    from core.registry.entries import parse_entry

    entries, damaged = [], 0
    for line in lines:
        try:
            entries.append(parse_entry(line))
        except ValueError:
            damaged += bool(line.strip())
    return entries, damaged


def _end_torn_line(path: Path) -> None:
    """Cut off a line that a kill tore apart, so that the next one stands alone."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        end = size
        while end > 0:
            start = max(0, end - 65536)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        if end < size:
            file.truncate(end)
