"""Does the registry agree with itself, and with the run folders?"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.registry import run_queries
from core.registry.afterwards import REMOVED
from core.registry.artifact_files import changed
from core.registry.check_database import check_database
from core.registry.database import Database
from core.registry.findings import Finding, FindingKind
from core.registry.journal import JOURNAL_NAME, journal_size, read_lines
from core.registry.live_runs import may_be_alive
from core.registry.records import ArtifactRecord, RunRecord
from core.registry.removal import is_being_deleted
from core.registry.run_folders import folder_of, run_folders
from core.workspace import Workspace

CHECKPOINT = "checkpoint"
"""Kind of an artifact."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        findings: What is wrong.
        runs: Runs that were looked at.
        alive: Runs that were left out of part of it, because they may be recording.
        artifacts: Recorded files that were looked at.
    """

    findings: tuple[Finding, ...]
    runs: int
    alive: int
    artifacts: int


def check_registry(
    database: Database,
    path: Path,
    workspace: Workspace,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    read: bool = True,
) -> CheckReport:
    """Check the file, its rows, the run folders and the recorded files; nothing is changed.

    Args:
        database: The registry.
        path: Its file.
        workspace: Where the run folders are.
        on_progress: Called with the number of runs looked at, and of all runs.
        read: Compare checksums, which reads every checkpoint; without it only sizes.

    Raises:
        RegistryUnavailableError: it cannot be read any more, though it could a moment ago.
    """
    findings = check_database(database, path)
    if any(finding.kind is not FindingKind.ORPHANS for finding in findings):
        return CheckReport(tuple(findings), 0, 0, 0)
    runs = run_queries.list_runs(database, None, None, None, None)
    alive = artifacts = 0
    for done, run in enumerate(runs):
        on_progress(done, len(runs))
        folder = folder_of(workspace, run)
        if may_be_alive(run, folder):
            alive += 1
            continue
        found, looked_at = _of_run(database, run, folder, read=read)
        if found and _is_going(database, workspace, run):
            continue
        artifacts += looked_at
        findings += found
    findings += _strangers(workspace, runs)
    return CheckReport(tuple(findings), len(runs), alive, artifacts)


def _of_run(
    database: Database, run: RunRecord, folder: Path, *, read: bool
) -> tuple[list[Finding], int]:
    found = [*_folder(run, folder)]
    if not folder.is_dir():
        return found, 0
    recorded = recorded_files(database, run)
    for artifact, needed in recorded:
        found += _artifact(run, folder / artifact.path, artifact, needed=needed, read=read)
    return found, len(recorded)


def _is_going(database: Database, workspace: Workspace, run: RunRecord) -> bool:
    """Whether somebody has deleted the run since it was listed, or is at it."""
    if run_queries.run_by_uuid(database, run.uuid) is None:
        return True
    return is_being_deleted(workspace, run)


def whole_bytes(folder: Path, held: int) -> int:
    """Bytes of a journal up to its last whole line.

    Args:
        folder: The run folder.
        held: Bytes that are known to end with a line, if the journal is that long.
    """
    size = journal_size(folder)
    if size <= held:
        return size
    ends = [end for end, _ in read_lines(folder / JOURNAL_NAME, held)]
    return ends[-1] if ends else held


def _folder(run: RunRecord, folder: Path) -> Iterator[Finding]:
    if not folder.is_dir():
        # responses graded from a file, and runs that never began, have none
        if run.journal_bytes:
            yield Finding(
                FindingKind.NO_FOLDER,
                f"run {run.id}",
                f"has no folder {folder}",
                "restore it from a backup, or do without its checkpoints and its journal",
            )
        return
    whole = whole_bytes(folder, run.journal_bytes)
    if whole > run.journal_bytes:
        yield Finding(
            FindingKind.JOURNAL,
            f"run {run.id}",
            f"has {whole - run.journal_bytes} bytes in its journal that the registry does not hold",
            f"bring them in with: a5ctl import {folder}",
        )
    elif whole < run.journal_bytes:
        yield Finding(
            FindingKind.JOURNAL,
            f"run {run.id}",
            f"has a journal of {whole} bytes, of which the registry holds {run.journal_bytes}",
            "restore the journal from a backup, as no repair could bring back what it lacks",
        )


def recorded_files(database: Database, run: RunRecord) -> list[tuple[ArtifactRecord, bool]]:
    """What a run recorded and nobody removed on purpose, each with whether it has to be there.

    A run removes its older checkpoints itself. Only the newest one is sure to be kept, and not even
    that where a rollback has taken it back.
    """
    events = run_queries.events(database, run.uuid)
    removed = {(e.data or {}).get("path") for e in events if e.kind == REMOVED}
    found = [a for a in run_queries.artifacts(database, run.uuid) if a.path not in removed]
    sql = "SELECT MAX(s.time) FROM segment s JOIN run r ON r.key = s.run WHERE r.uuid = :uuid"
    ((since,),) = database.read(sql, {"uuid": run.uuid})
    steps = [a for a in found if a.kind == CHECKPOINT and a.time >= (since or 0.0)]
    newest = steps[-1:]
    return [(a, a.kind != CHECKPOINT or a in newest) for a in found]


def _artifact(
    run: RunRecord, path: Path, artifact: ArtifactRecord, *, needed: bool, read: bool
) -> Iterator[Finding]:
    name = f"{artifact.path} of run {run.id}"
    if not path.exists():
        if needed:
            yield Finding(
                FindingKind.ARTIFACT_MISSING,
                name,
                "is missing",
                "restore it from a backup, or have its loss noted with: a5ctl registry gc --yes",
            )
    elif problem := changed(path, artifact, read=read):
        yield Finding(
            FindingKind.ARTIFACT_CHANGED,
            name,
            problem,
            "restore it from a backup, and do not start from it until then",
        )


def _strangers(workspace: Workspace, runs: list[RunRecord]) -> Iterator[Finding]:
    """Run folders that no row belongs to."""
    known = {Path(run.folder).name for run in runs} | {run.id for run in runs}
    for folder in run_folders(workspace):
        if folder.name not in known:
            yield Finding(
                FindingKind.NO_ROW,
                f"folder {folder}",
                "belongs to no run of the registry",
                f"bring it in with: a5ctl import {folder}",
            )
