"""What a workspace could do without: found here, removed by `core.registry.collect`.

Nothing of a run that may be alive is ever found. Of a finished run its last checkpoint stays, the
best one of every kind of evaluation, and whatever another run started from.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from core.registry import evaluation_queries, run_queries
from core.registry.check import CHECKPOINT, recorded_files
from core.registry.connections import open_for_reading
from core.registry.database import Database
from core.registry.live_runs import may_be_alive
from core.registry.orphans import count_orphans
from core.registry.records import ArtifactRecord, RunRecord, RunStatus
from core.registry.run_folders import folder_of
from core.workspace import CHECKPOINTS, ROLLOUTS, Workspace

_STEP = re.compile(r"step-([0-9]+)")


class GarbageKind(StrEnum):
    """Why something is not needed."""

    CHECKPOINT = "checkpoint"
    ROLLOUTS = "rollouts"
    PARTIAL = "partial"
    RESERVE = "reserve"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that is not needed.

    Attributes:
        run: Whose it is.
        kind: Why.
        path: Where it is; for `gone`, where it was.
        bytes: Room that it takes.
        artifact: Its path as it was recorded; None for what was not.
    """

    run: RunRecord
    kind: GarbageKind
    path: Path
    bytes: int
    artifact: str | None = None


@dataclass(frozen=True, slots=True)
class Waste:
    """All of it.

    Attributes:
        files: Files and folders, by run.
        rows: Rows by table that belong to nothing any more.
        free_bytes: Room inside the database file that holds nothing.
        alive: Runs that were left alone because they may be alive.
    """

    files: tuple[Garbage, ...]
    rows: Mapping[str, int] = field(default_factory=dict)
    free_bytes: int = 0
    alive: int = 0

    @property
    def bytes(self) -> int:
        """Room that the files take."""
        return sum(item.bytes for item in self.files)

    @property
    def empty(self) -> bool:
        """There is nothing to do."""
        return not (self.files or self.rows)


def find_garbage(database: Database, path: Path, workspace: Workspace) -> Waste:
    """Look for it; nothing is changed.

    Args:
        database: The registry.
        path: Its file.
        workspace: Where the run folders are.

    Raises:
        RegistryUnavailableError: the registry cannot be read.
    """
    runs = run_queries.list_runs(database, None, None, None, None)
    files: list[Garbage] = []
    alive = 0
    for run in runs:
        folder = folder_of(workspace, run)
        if not folder.is_dir() or folder.is_symlink():
            continue
        if may_be_alive(run, folder):
            alive += 1
            continue
        files += garbage_of(database, run, folder, runs)
    with closing(open_for_reading(path)) as connection:
        rows = count_orphans(connection)
        (pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return Waste(tuple(files), rows, pages * page_bytes, alive)


def garbage_of(
    database: Database, run: RunRecord, folder: Path, runs: Sequence[RunRecord]
) -> list[Garbage]:
    """What one run, which is not alive, could do without.

    Args:
        database: The registry.
        run: The run.
        folder: Its folder.
        runs: Every run, as they may have started from this one.
    """
    recorded = recorded_files(database, run)
    found = [*_left_over(run, folder)]
    if run.status is RunStatus.FINISHED:
        found += _checkpoints(database, run, folder, runs, [artifact for artifact, _ in recorded])
        # only the batches: which rollouts were learned from is recorded in the same folder
        for path in sorted((folder / ROLLOUTS).glob("*.rollouts")):
            found.append(Garbage(run, GarbageKind.ROLLOUTS, path, size_of(path)))
    for artifact, needed in recorded:
        path = folder / artifact.path
        if needed and not path.exists():
            found.append(Garbage(run, GarbageKind.GONE, path, 0, artifact.path))
    return found


def size_of(path: Path) -> int:
    """Bytes of a file or of everything in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(
        (Path(folder) / name).lstat().st_size
        for folder, _, names in os.walk(path)
        for name in names
    )


def _left_over(run: RunRecord, folder: Path) -> Iterator[Garbage]:
    """What a kill left half-written, and the room that was held back for last words."""
    for place in (folder, folder / CHECKPOINTS, folder / ROLLOUTS):
        for path in sorted(place.glob(".*")):
            if ".partial" in path.name:
                yield Garbage(run, GarbageKind.PARTIAL, path, size_of(path))
    reserve = folder / ".reserve"
    if reserve.is_file():
        yield Garbage(run, GarbageKind.RESERVE, reserve, size_of(reserve))


def _checkpoints(
    database: Database,
    run: RunRecord,
    folder: Path,
    runs: Sequence[RunRecord],
    recorded: Sequence[ArtifactRecord],
) -> Iterator[Garbage]:
    paths = {
        path: int(match[1])
        for path in sorted((folder / CHECKPOINTS).glob("step-*"))
        if (match := _STEP.fullmatch(path.name)) and path.is_dir() and not path.is_symlink()
    }
    started = started_from(run, runs)
    if started is None or not paths:
        return
    keep = {max(paths.values()), *started, *_best(database, run, set(paths.values()))}
    known = {artifact.path for artifact in recorded if artifact.kind == CHECKPOINT}
    for path, step in paths.items():
        if step not in keep:
            inside = path.relative_to(folder).as_posix()
            name = inside if inside in known else None
            yield Garbage(run, GarbageKind.CHECKPOINT, path, size_of(path), name)


def started_from(run: RunRecord, runs: Sequence[RunRecord]) -> set[int] | None:
    """Steps of the checkpoints that other runs began with; None where that cannot be told.

    Any mention of the run, or of a path into its folder, that names no step counts as a mention of
    all its checkpoints.
    """
    steps: set[int] = set()
    paths = re.compile(rf"{re.escape(Path(run.folder).name)}/checkpoints/step-([0-9]+)")
    quoted = tuple(json.dumps(name) for name in {run.id, run.uuid, run.name} if name)
    for other in runs:
        if other.uuid == run.uuid:
            continue
        steps |= {int(step) for step in paths.findall(other.config_json)}
        descends = other.parent_uuid == run.uuid
        if not descends and not any(name in other.config_json for name in quoted):
            continue
        step = other.config.get("model", {}).get("run_step")
        if step is None:
            return None
        steps.add(int(step))
    return steps


def _best(database: Database, run: RunRecord, kept: set[int]) -> set[int]:
    """The best checkpoints under every split and protocol; as many as the run itself keeps."""
    scores: dict[tuple[str, str, str], dict[int, float]] = defaultdict(dict)
    for record in evaluation_queries.evaluations(database, [run.uuid]):
        if record.step in kept:
            kind = (record.split, record.generation, record.grading)
            scores[kind][record.step] = record.accuracy
    count = max(1, int(run.config.get("train", {}).get("keep_best", 1)))
    return {
        step
        for by_step in scores.values()
        for step in sorted(by_step, key=lambda step: (by_step[step], step))[-count:]
    }
