"""Which runs nobody must touch, and how to hold one that nobody records."""

import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import UserError
from core.registry.liveness import LOST, display_status, is_silent, note_sign
from core.registry.lock import FileLock
from core.registry.records import RunRecord

RECORDER_LOCK = ".recorder.lock"
"""In a run folder; held by the process that records the run."""


def may_be_alive(run: RunRecord, folder: Path) -> bool:
    """Whether a process may be recording the run: without proof of the contrary it is."""
    if not run.status.settled and display_status(run) != LOST:
        return True
    return is_recorded(folder)


def is_recorded(folder: Path) -> bool:
    """Whether a process of this machine holds the run's folder."""
    if not (folder / RECORDER_LOCK).exists():
        return False
    try:
        with FileLock(folder / RECORDER_LOCK, timeout=0):
            return False
    except TimeoutError:
        return True
    except OSError:
        return False


def look_for_sign(run: RunRecord, folder: Path) -> None:
    """Take note of the last sign of life in the folder of a run that is silent in the registry.

    A recorder that cannot store, because the database is locked, full or read-only, still sets the
    time of its lock.
    """
    if is_silent(run, time.time()):
        with contextlib.suppress(OSError):
            note_sign(run.uuid, (folder / RECORDER_LOCK).stat().st_mtime)


class RunIsRecordedError(UserError):
    """A process records the run."""


@contextmanager
def held(run_id: str, folder: Path, timeout: float = 0.0) -> Iterator[None]:
    """Keep recorders out of a run folder; waits so many seconds for one that is in it.

    Raises:
        RunIsRecordedError: a process records the run.
    """
    lock = FileLock(folder / RECORDER_LOCK, timeout=timeout)
    try:
        lock.__enter__()
    except TimeoutError as error:
        raise RunIsRecordedError(
            f"run {run_id} is being recorded by a process; wait for it or stop it"
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)
