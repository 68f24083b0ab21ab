"""Where runs live: the folder that holds `registry.db` and `runs/`, and the names of runs in it."""

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError

# what lies in a run's folder
CHECKPOINTS = "checkpoints"
CONFIG = "config.toml"
LOG = "log.txt"
ROLLOUTS = "rollouts"

# No vowels and no look-alikes: ids are read aloud, typed, and never spell a word.
_ID_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
_ID_LENGTH = 4
_ATTEMPTS = 100
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace.

    Attributes:
        root: Absolute path of the folder.
    """

    root: Path

    @property
    def runs_dir(self) -> Path:
        """The folder of all run folders; it need not exist yet."""
        return self.root / "runs"

    def run_folder(self, run_id: str) -> Path:
        """The folder of one run; it need not exist yet.

        Raises:
            UserError: the id could lead out of the workspace.
        """
        if not _FOLDER_NAME.fullmatch(run_id):
            raise UserError(
                f"run id {run_id!r} is not a folder name; ids have letters, digits, '.', '_', '-'"
            )
        return self.runs_dir / run_id

    def registry_url(self, override: str | None = None) -> str:
        """SQLAlchemy URL of the registry.

        Args:
            override: A URL, or the path of an SQLite file; `A5CTL_REGISTRY` when not given, and
                `registry.db` in the workspace when that is not set either.
        """
        given = override or os.environ.get("A5CTL_REGISTRY")
        if not given:
            return f"sqlite:///{self.root / 'registry.db'}"
        return given if "://" in given else f"sqlite:///{Path(given).absolute()}"


def open_workspace(home: Path | None = None, *, create: bool = True) -> Workspace:
    """Find the workspace: `home`, else `A5CTL_HOME`, else the current folder.

    Args:
        home: Folder given by the person.
        create: Make the folder when it is missing, and make sure that it can be written.

    Raises:
        UserError: the folder is missing (without `create`), is a file, or cannot be written.
    """
    given = home or os.environ.get("A5CTL_HOME") or Path.cwd()
    root = Path(given).expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise UserError(f"workspace {root} is a file; give a folder with --home")
    if create:
        _ensure_writable(root)
    elif not root.exists():
        raise UserError(f"workspace {root} does not exist; give an existing folder with --home")
    return Workspace(root)


def new_run_id(kind: str, size: int | None) -> str:
    """A short id for people, such as `sft-256-k3f9`; the registry makes sure that it is unique."""
    tail = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    return "-".join(part for part in (kind, None if size is None else str(size), tail) if part)


@contextmanager
def claimed_folder(workspace: Workspace, kind: str, size: int | None) -> Iterator[str]:
    """The id of a new run, whose folder nobody else has or can get; taken back on an error.

    Several registries may share one workspace, and each knows its own runs only.

    Raises:
        UserError: no free id was found, or folders cannot be made.
    """
    for _ in range(_ATTEMPTS):
        run_id = new_run_id(kind, size)
        folder = workspace.run_folder(run_id)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"run folder {folder} cannot be written: {error}") from error
        try:
            yield run_id
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
        return
    raise UserError(f"no free id for another {kind} run was found; delete old runs")


def _ensure_writable(root: Path) -> None:
    runs = root / "runs"
    if runs.exists() and not runs.is_dir():
        raise UserError(
            f"{runs} is a file where the run folders belong; move it away, or choose another "
            "folder with --home"
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=root, prefix=".a5ctl-"):
            return
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"workspace {root} cannot be written ({reason}); choose another folder with --home"
        ) from error
