"""A lock between processes, held on a file; the system lets go of it when the holder dies."""

import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO

_RETRY_S = 0.05


class FileLock:
    """Exclusive lock on a file that is made when missing and never removed.

    Args:
        path: The lock file.
        timeout: Seconds to wait for another holder; 0 tries once.
    """

    def __init__(self, path: Path, timeout: float = 60.0) -> None:
        self.path = path
        self._timeout = timeout
        self._file: IO[bytes] | None = None

    def __enter__(self) -> "FileLock":
        """Take the lock.

        Raises:
            TimeoutError: somebody else holds it.
            OSError: the file cannot be made.
        """
        file = self.path.open("a+b")
        deadline = time.monotonic() + self._timeout
        while not _try_lock(file):
            if time.monotonic() >= deadline:
                file.close()
                raise TimeoutError(f"{self.path} is held by another process")
            time.sleep(_RETRY_S)
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[bytes]) -> bool:
        file.seek(0)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
