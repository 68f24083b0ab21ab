"""Is the database file still the one that was opened? It can be deleted or replaced at any time.

SQLite keeps what was written last in a log beside the file, under the file's name and bound to
nothing else: another file that is put there while the log stays would be read, and written,
through the log of its predecessor. That is noticed here, and refused.
"""

from pathlib import Path

FileIdentity = tuple[int, int]
_LOG_HEADER_BYTES = 32


class FileGoneError(Exception):
    """There is no such file (any more)."""


class LogOfAnotherFileError(Exception):
    """The file was replaced, and the log beside it belongs to its predecessor."""


def logs_beside(path: Path) -> tuple[Path, Path]:
    """What SQLite keeps beside a database file that is in use: the log, and an index of it."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


class FileWatch:
    """Knows the file that was opened last.

    Args:
        path: Of the database.

    Attributes:
        opened: How many different files were found here so far; one that was gone for a while
            counts as another one.
    """

    def __init__(self, path: Path) -> None:
        self.opened = 0
        self._path = path
        self._file: FileIdentity | None = None
        self._log: bytes | None = None

    def look(self) -> bool:
        """Whether this is another file than at the last look; the first one is not.

        Raises:
            FileGoneError: there is none.
            LogOfAnotherFileError: it must not be opened.
        """
        found = identity_of(self._path)
        if found is None:
            self._file = None
            raise FileGoneError(str(self._path))
        if found == self._file:
            return False
        self.check_log(found)
        self._log = None
        first, self._file = self.opened == 0, found
        self.opened += 1
        return not first

    def check_log(self, file: FileIdentity) -> None:
        """Make sure that a file, if it is another one, does not lie beside the known log.

        Raises:
            LogOfAnotherFileError: it does.
        """
        if self._log is not None and file != self._file and self._header() == self._log:
            raise LogOfAnotherFileError(str(self._path))

    def note_log(self) -> None:
        """Remember the log as the one of the known file; its header is random at each start."""
        self._log = self._header()

    def _header(self) -> bytes | None:
        # opened beside SQLite, which a process must never do with a file that SQLite locks: its
        # locks are on the database and on the index, and not on the log
        try:
            with logs_beside(self._path)[0].open("rb") as log:
                header = log.read(_LOG_HEADER_BYTES)
        except OSError:
            return None
        return header if len(header) == _LOG_HEADER_BYTES else None


def identity_of(path: Path) -> FileIdentity | None:
    """What tells one file from another under the same name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
