"""Folders that a command writes for people: whole or not at all, never over another by accident."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UserError

MARK = ".a5ctl-export"
"""A file in every folder that was written here: only such a folder is ever replaced."""


def check_folder(path: Path, *, force: bool) -> Path:
    """The place to write to.

    Raises:
        UserError: something is there already that may not be replaced, or it is no place for a
            folder.
    """
    target = path.expanduser().absolute()
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UserError(f"{path} is no folder; choose another name with --out")
    if target.exists() and not force and any(target.iterdir()):
        raise UserError(f"{path} exists already; choose another name, or replace it with --force")
    if target.exists() and any(target.iterdir()) and not (target / MARK).is_file():
        raise UserError(f"{path} is not a folder that an export wrote; choose another name")
    if not target.parent.is_dir():
        raise UserError(f"the folder of {path} does not exist; make it first")
    return target


@contextmanager
def whole_folder(path: Path, *, force: bool) -> Iterator[Path]:
    """Fill a folder under a temporary name beside its own; it gets its name when it is complete.

    After an error, or a stop, nothing is left behind and what was there before still is.

    Raises:
        UserError: see `check_folder`.
        OSError: the folder cannot be written.
    """
    target = check_folder(path, force=force)
    place = Path(tempfile.mkdtemp(prefix=".a5ctl-", dir=target.parent))
    try:
        filling = place / "new"
        filling.mkdir()
        yield filling
        (filling / MARK).touch()
        check_folder(path, force=force)
        if target.exists():
            os.replace(target, place / "old")
        try:
            os.replace(filling, target)
        except OSError:
            if (place / "old").exists():
                os.replace(place / "old", target)
            raise
    finally:
        shutil.rmtree(place, ignore_errors=True)
