"""Makes a run folder that has its name when it is whole, and leaves no trace otherwise."""

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from core.registry.journal import JOURNAL_NAME
from core.registry.live_runs import RECORDER_LOCK
from core.registry.lock import FileLock
from core.whole_files import replacing, sync_folder
from core.workspace import Workspace

_MAKING = ".making-"
_OLD_S = 60.0


def write_run_folder(workspace: Workspace, run_id: str, journal: Iterable[bytes]) -> Path:
    """Write the folder of a run that nobody records, with its journal.

    Args:
        workspace: Where it goes; what a kill left of earlier ones is removed.
        run_id: Its name.
        journal: The journal, in pieces.

    Raises:
        OSError: it cannot be written, or is there already.
    """
    workspace.runs_dir.mkdir(parents=True, exist_ok=True)
    _sweep(workspace.runs_dir)
    final = workspace.run_folder(run_id)
    making = workspace.runs_dir / f"{_MAKING}{run_id}"
    try:
        making.mkdir()
        with FileLock(making / RECORDER_LOCK, timeout=0):
            with replacing(making / JOURNAL_NAME) as file:
                for piece in journal:
                    file.write(piece)
            making.rename(final)
        sync_folder(workspace.runs_dir)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return final


def _sweep(runs_dir: Path) -> None:
    """Remove what kills left; who is at work holds the lock in it from its first moment on."""
    for left in runs_dir.glob(f"{_MAKING}*"):
        try:
            if time.time() - left.stat().st_mtime < _OLD_S:
                continue
            with FileLock(left / RECORDER_LOCK, timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue  # somebody is at work in it, or it is gone by now
