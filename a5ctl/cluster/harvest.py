"""Runs that were recorded on other machines, brought in from their journals in the workspace.

A node without a registry that it may write to records into one of its own, and everything it
records is in the journal of the run folder, which lies in the workspace.
"""

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import tomli_w

from core.errors import UserError
from core.plans.cells import Cell, start_group
from core.registry.journal import JOURNAL_NAME, journal_size, merge_journal
from core.registry.live_runs import look_for_sign
from core.registry.store import Registry, open_registry
from core.workspace import Workspace

_EVERY_S = 5.0


class Harvest:
    """Merges the journals of a plan's runs while they grow.

    Args:
        registry: Where they go.
        workspace: Where the run folders are.
        plan: Name of the plan.
    """

    def __init__(self, registry: Registry, workspace: Workspace, plan: str) -> None:
        self._registry = registry
        self._workspace = workspace
        self._groups = (plan, start_group(plan))
        self._marks = tuple(tomli_w.dumps({"group": group}) for group in self._groups)
        self._seen: set[str] = set()
        self._sizes: dict[Path, int] = {}
        self._gathered = -_EVERY_S

    def gather(self, *, at_once: bool = False) -> None:
        """Merge what is new, every few seconds or now."""
        if not at_once and time.monotonic() - self._gathered < _EVERY_S:
            return
        self._gathered = time.monotonic()
        for folder in _marked(self._workspace, self._marks, self._seen):
            self._sizes[folder] = 0
        for folder, before in self._sizes.items():
            size = journal_size(folder)
            if size > before:
                self._merge(folder, size)
        self._look()

    def _merge(self, folder: Path, size: int) -> None:
        try:
            report = merge_journal(self._registry, folder)
        except UserError:
            return  # a registry that cannot be written now is tried again
        if report.run_id is not None:
            self._sizes[folder] = size

    def _look(self) -> None:
        """A sign of life is the time of the lock in a run folder, which only the node sets."""
        for group in self._groups:
            for run in self._registry.runs(group=group):
                if not run.status.settled:
                    look_for_sign(run, self._workspace.run_folder(run.id))


@contextmanager
def registry_of_node(workspace: Workspace, cells: Iterable[Cell]) -> Iterator[Registry]:
    """A registry of this machine's own that holds what the workspace has on some cells.

    Args:
        workspace: Where the run folders are.
        cells: The cell to be carried out, and the one that it starts from.
    """
    cells = tuple(cells)
    with tempfile.TemporaryDirectory(prefix="a5ctl-") as folder:
        registry = open_registry(f"sqlite:///{Path(folder) / 'registry.db'}")
        try:
            for run_folder in _needed(workspace, cells):
                merge_journal(registry, run_folder)
            registry.merge_left_behind(workspace)
            yield registry
        finally:
            registry.close()


def _needed(workspace: Workspace, cells: tuple[Cell, ...]) -> Iterator[Path]:
    """Runs of the cells, and those that their settings name."""
    yield from _marked(workspace, [f'"{cell.tag}"' for cell in cells], set())
    for cell in cells:
        for name in (cell.config.model.run, cell.config.data.solved_by):
            if name is not None and (workspace.run_folder(name) / JOURNAL_NAME).is_file():
                yield workspace.run_folder(name)


def _marked(workspace: Workspace, marks: Iterable[str], seen: set[str]) -> Iterator[Path]:
    """Run folders whose configuration has one of these texts in it; each folder is read once."""
    marks = tuple(marks)
    for folder in sorted(workspace.runs_dir.glob("[!.]*")):
        if folder.name in seen:
            continue
        try:
            text = (folder / "config.toml").read_text(encoding="utf-8")
        except OSError:
            continue  # it is being made, or is no run folder
        seen.add(folder.name)
        if any(mark in text for mark in marks):
            yield folder
