"""Which folder belongs to which run."""

from pathlib import Path

from core.registry.journal import JOURNAL_NAME
from core.registry.merge import last_description
from core.registry.records import RunRecord
from core.workspace import CONFIG, Workspace

MARKS = (JOURNAL_NAME, CONFIG)
"""Files that make a folder that of a run; each of them is enough."""


def folder_of(workspace: Workspace, run: RunRecord) -> Path:
    """The folder of a run; one that came from elsewhere under a taken id keeps its old name.

    Under that name lies, as a rule, the folder of the run that had the id first: what its journal
    does not call this run's is none of it, and must not be cleaned up for it.
    """
    folder = workspace.run_folder(run.id)
    older = workspace.runs_dir / Path(run.folder).name
    return older if not folder.is_dir() and _is_of(older, run) else folder


def journal_folder(workspace: Workspace, run: RunRecord) -> Path | None:
    """Where the journal of a run is; None where there is none here."""
    folder = folder_of(workspace, run)
    return folder if _is_of(folder, run) else None


def run_folders(workspace: Workspace) -> list[Path]:
    """Folders that a run was recorded or begun in, by name; hidden ones are none."""
    found = workspace.runs_dir.glob("[!.]*")
    return sorted(path for path in found if any((path / mark).is_file() for mark in MARKS))


def _is_of(folder: Path, run: RunRecord) -> bool:
    described = last_description(folder / JOURNAL_NAME)
    return described is not None and described.columns["uuid"] == run.uuid
