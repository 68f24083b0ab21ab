"""Run folders of our own that come from elsewhere: checked, copied, and merged by their journal.

A journal names its run, and what it names ends up in paths and listings; so it is checked before
anything of it reaches the registry. A folder of this workspace is merged where it is.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UserError
from core.interchange.foreign import Source
from core.interchange.kept import Imported
from core.registry.entries import ArtifactEntry, Entry, RunEntry, to_line
from core.registry.journal import JOURNAL_NAME, merge_journal, parse_lines, read_lines
from core.registry.live_runs import RECORDER_LOCK
from core.registry.lock import FileLock
from core.registry.records import RunRecord, RunStatus
from core.registry.run_queries import run_by_uuid
from core.registry.run_writes import update_run
from core.registry.store import Registry
from core.workspace import CHECKPOINTS, Workspace, new_run_id

_UUID = re.compile(r"[0-9a-f]{32}")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_RUN_MARK = b'{"entry":"run"'
_DEEPEST = 12
_ATTEMPTS = 100


class _Columns(BaseModel):
    """The types that readers of the table of runs rely on; there may be further columns."""

    model_config = ConfigDict(extra="allow", strict=True)

    uuid: str
    id: str
    kind: str
    name: str | None = None
    group: str | None = None
    status: RunStatus | str
    parent_uuid: str | None = None
    config_hash: str
    seed: int | None = None
    model: str
    data: str
    size: int | None = None
    created: float | int
    started: float | int | None = None
    ended: float | int | None = None
    host: str | None = None
    pid: int | None = None
    heartbeat: float | int | None = None
    exit_reason: str | None = None
    tags: str
    note: str
    config: str
    traceback: str | None = None
    provenance: str


def import_own(
    registry: Registry, workspace: Workspace, folder: Path, *, checkpoints: bool
) -> Imported:
    """Bring a run folder into the registry; a second time nothing changes.

    Args:
        registry: Where the run goes.
        workspace: Gets a copy of the folder unless it lies there already.
        folder: The run folder.
        checkpoints: Copy those too.

    Raises:
        UserError: the journal is not one that can be trusted, or the run is being recorded.
    """
    columns = checked_columns(folder)
    if folder.resolve().parent == workspace.runs_dir.resolve():
        known = run_by_uuid(registry.database, columns["uuid"])
        before = 0 if known is None else known.journal_bytes
        report = merge_journal(registry, folder)
        run = registry.run_by_uuid(columns["uuid"])
        state = (
            "new" if known is None else "unchanged" if run.journal_bytes == before else "updated"
        )
        return _imported(registry, run, folder, state, report.damaged)
    return _bring(registry, workspace, folder, columns, checkpoints)


def checked_columns(folder: Path) -> dict[str, Any]:
    """The run as its journal describes it.

    Raises:
        UserError: it describes none, or one that the registry must not hold.
    """
    path = folder / JOURNAL_NAME
    found: dict[str, Any] | None = None
    for entry in _entries(path):
        if isinstance(entry, RunEntry) and "uuid" in entry.columns:
            if found is not None and entry.columns["uuid"] != found["uuid"]:
                raise UserError(f"{path} holds several runs; a run folder has one")
            found = entry.columns
            _check(path, found)
        if isinstance(entry, ArtifactEntry) and _leads_out(entry.path):
            raise UserError(f"{path} names a file outside its folder ({entry.path[:60]!r})")
    if found is None:
        raise UserError(f"{path} describes no run, so that it cannot be imported")
    return found


def _entries(path: Path) -> Iterator[Entry]:
    try:
        for _, lines in read_lines(path):
            telling = [x for x in lines if x.startswith(_RUN_MARK) or b'"artifact"' in x]
            yield from parse_lines(telling)[0]
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _check(path: Path, columns: dict[str, Any]) -> None:
    try:
        run = _Columns.model_validate(columns)
        RunStatus(run.status)
        shapes = (json.loads(run.config), dict), (json.loads(run.provenance), dict)
        right = all(isinstance(value, kind) for value, kind in shapes)
        tags = json.loads(run.tags)
        right &= isinstance(tags, list) and all(isinstance(tag, str) for tag in tags)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"{path} describes its run wrongly: {place} is of the wrong kind"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} describes its run wrongly: {str(error)[:80]}") from error
    if not right or not _UUID.fullmatch(run.uuid):
        raise UserError(f"{path} describes its run wrongly: settings, tags or uuid are damaged")
    if not _ID.fullmatch(run.id):
        raise UserError(f"{path} calls its run {run.id[:60]!r}, which is no name of a folder")


def _leads_out(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    return path.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]


def _bring(
    registry: Registry,
    workspace: Workspace,
    folder: Path,
    columns: dict[str, Any],
    checkpoints: bool,
) -> Imported:
    known = run_by_uuid(registry.database, columns["uuid"])
    run_id = known.id if known else _free_id(registry, workspace, columns)
    target = workspace.run_folder(run_id)
    _check_room(folder, target, checkpoints, workspace.root)
    target.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target / RECORDER_LOCK, timeout=0):
            added = _add_lines(folder / JOURNAL_NAME, target / JOURNAL_NAME)
            if known is None and run_id != columns["id"]:
                named = {**columns, "id": run_id, "folder": f"runs/{run_id}"}
                _append(target / JOURNAL_NAME, to_line(RunEntry(columns=named)))
            copied = _copy_files(folder, target, checkpoints)
            if known is not None and added:
                update_run(registry.database, known.uuid, {"journal_bytes": 0})
            report = merge_journal(registry, target)
    except TimeoutError as error:
        raise UserError(f"run {run_id} is being recorded now; import it when it has ended") from (
            error
        )
    run = registry.run_by_uuid(columns["uuid"])
    if run.folder != f"runs/{run.id}":
        update_run(registry.database, run.uuid, {"folder": f"runs/{run.id}"})
    state = "new" if known is None else "updated" if added or copied else "unchanged"
    imported = _imported(registry, run, folder, state, report.damaged)
    if not checkpoints and (folder / CHECKPOINTS).is_dir() and not (target / CHECKPOINTS).exists():
        imported.left_out.append("its checkpoints; --checkpoints copies them too")
    return imported


def _free_id(registry: Registry, workspace: Workspace, columns: dict[str, Any]) -> str:
    """The run's own id, or a new one where another run has it."""
    candidates = [str(columns["id"])]
    candidates += [
        new_run_id(_plain(columns["kind"]), columns.get("size")) for _ in range(_ATTEMPTS)
    ]
    for candidate in candidates:
        taken = registry.database.read("SELECT 1 FROM run WHERE id = :id", {"id": candidate})
        folder = workspace.run_folder(candidate)
        if not taken and (not folder.exists() or _same_run(folder, columns["uuid"])):
            return candidate
    raise UserError("no free id for the run was found; delete old runs")


def _same_run(folder: Path, uuid: str) -> bool:
    """A folder that an import stopped half-way has left, or one that is empty."""
    if not (folder / JOURNAL_NAME).exists():
        return not any(child.name != RECORDER_LOCK for child in folder.iterdir())
    try:
        return bool(checked_columns(folder)["uuid"] == uuid)
    except UserError:
        return False


def _plain(kind: str) -> str:
    return kind if re.fullmatch(r"[a-z]{1,16}", kind) else "run"


def _add_lines(source: Path, target: Path) -> int:
    """Append the lines that the target lacks; how many those were."""
    known = set()
    if target.exists():
        known = {hash(line) for _, lines in read_lines(target) for line in lines}
    added = 0
    for _, lines in read_lines(source):
        new = [line for line in lines if hash(line) not in known]
        added += len(new)
        _append(target, b"".join(new))
    return added


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check_room(source: Path, target: Path, checkpoints: bool, disk: Path) -> None:
    """Files with holes are as large as they say once they are copied."""
    missing = (
        path
        for path in _files(source, checkpoints)
        if not (target / path.relative_to(source)).exists()
    )
    needed, free = sum(path.stat().st_size for path in missing), shutil.disk_usage(disk).free
    if needed > free:
        raise UserError(
            f"{source} has files of {needed:,} bytes, and {free:,} are free where the run would "
            "lie; take out what is not needed, or choose another folder with --home"
        )


def _copy_files(source: Path, target: Path, checkpoints: bool) -> int:
    """Copy what the target lacks; links, hidden files and the journal stay behind."""
    copied = 0
    for path in _files(source, checkpoints):
        place = target / path.relative_to(source)
        if place.exists() or place.is_symlink():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.parent.resolve().is_relative_to(target.resolve()):
            continue
        handle, name = tempfile.mkstemp(prefix=".a5ctl-", dir=place.parent)
        os.close(handle)
        try:
            shutil.copyfile(path, name, follow_symlinks=False)
            os.replace(name, place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        copied += 1
    return copied


def _files(source: Path, checkpoints: bool, depth: int = 0) -> Iterator[Path]:
    for child in sorted(source.iterdir()):
        if child.is_symlink() or child.name.startswith("."):
            continue
        if depth == 0 and (
            child.name == JOURNAL_NAME or (child.name == CHECKPOINTS and not checkpoints)
        ):
            continue
        if child.is_file():
            yield child
        elif child.is_dir() and depth < _DEEPEST:
            yield from _files(child, checkpoints, depth + 1)


def _imported(
    registry: Registry, run: RunRecord, folder: Path, state: str, damaged: int
) -> Imported:
    left_out = [f"{damaged} lines of its journal, which are damaged"] if damaged else []
    evaluations = registry.evaluations([run.uuid])
    return Imported(
        run=run.id,
        source=Source.RUN,
        path=str(folder),
        name=run.name,
        state=state,
        status=run.status,
        metrics=len(registry.metric_summaries([run.uuid])[run.uuid]),
        values=None,
        evaluations=len(evaluations),
        responses=sum(evaluation.n for evaluation in evaluations),
        left_out=left_out,
    )
