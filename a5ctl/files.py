"""Files that a command writes for people: whole or not at all, never over another by accident."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from core.errors import UserError


def check_target(path: Path, *, force: bool) -> Path:
    """The place to write to, links followed.

    Raises:
        UserError: something is there already (without `force`), or it is no place for a file.
    """
    target = path.expanduser()
    target = target.resolve() if target.is_symlink() else target.absolute()
    if target.is_dir():
        raise UserError(f"{path} is a folder; name a file in it")
    if target.exists() and not target.is_file():
        raise UserError(f"{path} is no regular file; write to standard output with --out -")
    if target.exists() and not force:
        raise UserError(f"{path} exists already; choose another name, or replace it with --force")
    if not target.parent.is_dir():
        raise UserError(f"the folder of {path} does not exist; make it first")
    return target


@contextmanager
def whole_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Write a file under a temporary name beside its own; it gets its name when it is complete.

    After an error, or a stop, nothing is left behind and what was there before still is.

    Args:
        path: The final name.
        force: Replace a file that is there.

    Raises:
        UserError: see `check_target`; it is asked again at the end, for a file made meanwhile.
        OSError: the file cannot be written.
    """
    target = check_target(path, force=force)
    handle, name = tempfile.mkstemp(prefix=".a5ctl-", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_target(path, force=force)
        Path(name).chmod(_usual_mode())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _usual_mode() -> int:
    """Permissions that this process gives to new files; temporary ones are private."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
