"""Removing runs: what would go, and doing it so that nothing half-deleted can come back."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.registry.live_runs import RECORDER_LOCK, is_recorded
from core.registry.liveness import LOST, display_status
from core.registry.lock import FileLock
from core.registry.records import Deletion, RunRecord
from core.registry.run_folders import MARKS
from core.registry.store import Registry
from core.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes with a run.

    Attributes:
        deletion: Its rows, and the runs that lose their parent.
        folder: Its folder; None where there is none here.
        files: In that folder.
        bytes: Their sizes together.
    """

    run: RunRecord
    deletion: Deletion
    folder: Path | None
    files: int
    bytes: int


def plan_removal(registry: Registry, workspace: Workspace, run: RunRecord) -> Removal:
    """Look what would go.

    Raises:
        UserError: the run is alive, or may be.
    """
    _check_settled(run)
    folder = workspace.run_folder(run.id)
    sizes = _sizes(folder)
    there = folder if folder.is_dir() or folder.is_symlink() else None
    return Removal(run, registry.plan_deletion(run.uuid), there, len(sizes), sum(sizes))


def remove_run(registry: Registry, workspace: Workspace, run: RunRecord) -> None:
    """Delete a run's rows and its folder.

    The folder is moved aside first, and comes back should the rows not go. What makes it a run
    goes before the rest, so that no rebuilt registry finds half of one.

    Raises:
        UserError: the run is alive, or one of the two cannot be deleted.
    """
    run = registry.run_by_uuid(run.uuid)
    _check_settled(run)
    folder = workspace.run_folder(run.id)
    aside = _set_aside(run, folder)
    try:
        with _at_work(aside):
            registry.delete_run(run.uuid)
    except BaseException:
        if aside is not None:
            aside.rename(folder)
        raise
    if aside is not None:
        _remove(aside)


def is_being_deleted(workspace: Workspace, run: RunRecord) -> bool:
    """Whether somebody is deleting the run now."""
    return is_recorded(_place_aside(workspace.run_folder(run.id), run))


def _place_aside(folder: Path, run: RunRecord) -> Path:
    return folder.with_name(f".deleted-{run.id}-{run.uuid[:8]}")


@contextmanager
def _at_work(aside: Path | None) -> Iterator[None]:
    """Let others know, by the lock, that the folder was not left there by a kill."""
    if aside is None or aside.is_symlink():
        yield
        return
    with FileLock(aside / RECORDER_LOCK, timeout=0):
        yield


def _check_settled(run: RunRecord) -> None:
    status = display_status(run)
    if not run.status.settled and status != LOST:
        raise UserError(
            f"run {run.id} is {status}; stop it, or settle it with a5ctl close {run.id}, before it "
            "is deleted"
        )


def _sizes(folder: Path) -> list[int]:
    if folder.is_symlink():
        return []
    return [path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()]


def _set_aside(run: RunRecord, folder: Path) -> Path | None:
    if not folder.is_dir() and not folder.is_symlink():
        return None
    aside = _place_aside(folder, run)
    try:
        if not folder.is_symlink():
            with FileLock(folder / RECORDER_LOCK, timeout=0):
                pass
        return folder.rename(aside)
    except TimeoutError as error:
        raise UserError(f"run {run.id} is being recorded by a process; stop it first") from error
    except OSError as error:
        raise UserError(
            f"run folder {folder} cannot be moved ({error.strerror}), so nothing was deleted; make "
            "it and its parent writable"
        ) from error


def _remove(path: Path) -> None:
    try:
        if path.is_symlink():
            path.unlink()
        else:
            for mark in MARKS:
                (path / mark).unlink(missing_ok=True)
            shutil.rmtree(path)
    except OSError as error:
        raise UserError(
            f"the rows are deleted, but {path} could not be removed completely "
            f"({error.strerror}); remove it by hand"
        ) from error
