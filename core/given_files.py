"""Files that a person names: read up to a size, and never from a pipe or a device.

What is refused is an `OSError` whose `strerror` says why, so that callers name the file in their
own words.
"""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from core.units import MIB

LARGEST_TEXT = 64 * MIB
"""Bytes of a configuration, a plan, a prompt: far more than people write."""
LONGEST_LINE = 16 * MIB
"""Bytes of one line of data."""


def read_given(path: Path, most: int = LARGEST_TEXT) -> bytes:
    """The bytes of a file.

    Args:
        path: The file; links are followed.
        most: Bytes.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return content


def read_given_text(path: Path, most: int = LARGEST_TEXT) -> str:
    """The text of a file, UTF-8, line ends as newlines; see `read_given`.

    Raises:
        OSError: see `read_given`.
        UnicodeDecodeError: it is no UTF-8.
    """
    text = read_given(path, most).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def given_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of any size, one at a time, with their line ends.

    Raises:
        OSError: it cannot be read, is no regular file, or a line is longer than any record.
    """
    check_regular(path)
    with path.open("rb") as file:
        yield from bounded_lines(file)


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of an opened file, a pipe too, with their line ends.

    Raises:
        OSError: a line is longer than any record.
    """
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise OSError(errno.EFBIG, f"a line has {LONGEST_LINE:,} bytes or more")
        yield line


def check_regular(path: Path) -> None:
    """Refuse what may never end, or never begin: pipes, devices, sockets, folders.

    Raises:
        OSError: it is not there, or no regular file.
    """
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
