"""Keeps another tool's run: as a run folder with a journal, merged into the registry like our own.

So an imported run survives the loss of the registry as any run does, is written in small
transactions however large it is, and is the same however often it is imported.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from sqlalchemy import delete, update

from core.errors import UserError
from core.interchange.foreign import ForeignRun, foreign_uuid
from core.interchange.graded_evaluations import KeepOptions, Totals, evaluation_entries
from core.interchange.guesses import without_seed
from core.interchange.kept import Imported
from core.interchange.kept_journal import added_later, described
from core.interchange.sentences import counted
from core.registry.entries import (
    Entry,
    EventEntry,
    MetricsEntry,
    RunEntry,
    StatusEntry,
    clean_tree,
    parse_entry,
    to_line,
)
from core.registry.journal import JOURNAL_NAME, merge_journal
from core.registry.live_runs import held
from core.registry.lock import FileLock
from core.registry.records import RunRecord
from core.registry.run_queries import run_by_uuid
from core.registry.schema import Evaluation, Metric, MetricSummary, Run, table
from core.registry.store import Registry
from core.secrets import mask_text, mask_tree
from core.workspace import Workspace

KIND = "import"
_VERSION = 1
"""Of the readers: what an older version has kept is read again."""
_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
_SHORTEST_TAIL = 4


def keep(
    registry: Registry, workspace: Workspace, run: ForeignRun, options: KeepOptions
) -> Imported:
    """Bring a run into the registry; it is left alone where nothing about it has changed.

    Raises:
        UserError: registry or workspace cannot be written; a run that is half there is completed
            by the next import.
    """
    mark = _mark(run, options)
    workspace.runs_dir.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(workspace):
        known = run_by_uuid(registry.database, run.uuid)
        if known is not None and _complete(registry, workspace, known, mark):
            return _report(registry, run, known, "unchanged", None)
        folder = _folder(registry, workspace, run, known)
        with held(folder.name, folder):
            totals = _write_journal(folder, run, options, mark)
            if known is not None:
                _prepare_update(registry, known, folder)
            merge_journal(registry, folder)
        kept = registry.run_by_uuid(run.uuid)
        return _report(registry, run, kept, "new" if known is None else "updated", totals)


@contextlib.contextmanager
def _one_at_a_time(workspace: Workspace) -> Iterator[None]:
    lock = FileLock(workspace.runs_dir / ".import.lock")
    try:
        lock.__enter__()
    except TimeoutError as error:
        raise UserError("another import is going on in this workspace; wait for it") from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _mark(run: ForeignRun, options: KeepOptions) -> str:
    """Changes when the files, the way to read them, or the readers change."""
    how = options.settings
    template = None if how.template is None else how.template.text
    parts = (_VERSION, run.fingerprint, options.grader, how.restore_stop, how.tokenizer, template)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def _complete(registry: Registry, workspace: Workspace, known: RunRecord, mark: str) -> bool:
    told = registry.provenance(known.uuid).get("imported", {})
    path = workspace.run_folder(known.id) / JOURNAL_NAME
    size = path.stat().st_size if path.is_file() else -1
    return bool(told.get("mark") == mark and known.journal_bytes == size)


def _folder(
    registry: Registry, workspace: Workspace, run: ForeignRun, known: RunRecord | None
) -> Path:
    """The run's folder; its name follows from its identity, so that a second try finds it."""
    if known is not None:
        folder = workspace.run_folder(known.id)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    number, letters = int(run.uuid, 16), ""
    while number:
        number, digit = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[digit]
    for length in range(_SHORTEST_TAIL, len(letters) + 1):
        name = f"{KIND}-{letters[:length]}"
        taken = registry.database.read("SELECT 1 FROM run WHERE id = :id", {"id": name})
        folder = workspace.run_folder(name)
        if not taken and _free(folder, run.uuid):
            folder.mkdir(parents=True, exist_ok=True)
            return folder
    raise UserError(f"no free id for {run.path} was found; delete old runs")


def _free(folder: Path, run_uuid: str) -> bool:
    """Nothing is there, or what an earlier try at the same run has left."""
    path = folder / JOURNAL_NAME
    if not path.exists():
        return True
    with path.open("rb") as file:
        try:
            entry = parse_entry(file.readline())
        except ValueError:
            return False
    return isinstance(entry, RunEntry) and entry.columns.get("uuid") == run_uuid


def _write_journal(folder: Path, run: ForeignRun, options: KeepOptions, mark: str) -> Totals:
    """Write the journal under another name, and put it in its place when it is whole.

    What describes the run comes first but is known last, so that the rest is written apart.
    """
    totals = Totals()
    with tempfile.TemporaryDirectory(prefix=".import-", suffix=".partial", dir=folder) as place:
        body, whole = Path(place) / "body", Path(place) / JOURNAL_NAME
        with body.open("wb") as file:
            _write(file, evaluation_entries(run, options, totals))
            _write(file, _metrics(run, totals))
        with whole.open("wb") as file:
            _write(file, _heads(folder.name, run, options, mark, totals))
            with body.open("rb") as rest:
                shutil.copyfileobj(rest, file)
            _write(file, [_ending(run)])
            file.flush()
            _write(file, added_later(folder / JOURNAL_NAME, described(whole)[1]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(whole, folder / JOURNAL_NAME)
    return totals


def _write(file: IO[bytes], entries: "Iterator[Entry] | Sequence[Entry]") -> None:
    for entry in entries:
        file.write(to_line(entry))


def _metrics(run: ForeignRun, totals: Totals) -> Iterator[MetricsEntry]:
    if doubled := run.curves.doubled():
        run.left_out.append(f"{doubled:,} values that a later one of the same step replaces")
    run.left_out += counted(run.curves.left_out)
    for entry in run.curves.entries(run.ended or run.path.stat().st_mtime):
        totals.values += len(entry.values)
        yield entry


def _heads(
    run_id: str, run: ForeignRun, options: KeepOptions, mark: str, totals: Totals
) -> list[Entry]:
    columns = _columns(run_id, run, options, mark, totals)
    return [RunEntry(columns=columns), _event(run, mark, totals)]


def _columns(
    run_id: str, run: ForeignRun, options: KeepOptions, mark: str, totals: Totals
) -> dict[str, Any]:
    config = {
        "kind": KIND,
        "dump": {"tool": run.source.value},
        "settings": mask_tree(without_seed(run.settings)),
    }
    text = json.dumps(clean_tree(config), sort_keys=True)
    told = {
        "from": run.source.value,
        "path": str(run.path.absolute()),
        "identity": run.identity,
        "mark": mark,
        "left_out": run.left_out,
    }
    provenance = mask_tree({"imported": told, "source": run.origin})
    now = run.ended or time.time()
    parent = None if run.parent is None else foreign_uuid(run.source, run.parent)
    return {
        "uuid": run.uuid,
        "id": run_id,
        "kind": KIND,
        "name": options.name or run.name,
        "group": options.group or run.group,
        "status": run.status.value,
        "parent_uuid": parent,
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        "protocol_hash": None,
        "seed": run.seed,
        "model": run.model,
        "model_hash": None,
        "data": run.data,
        "data_hash": totals.data_hash,
        "size": None,
        "created": run.created or now,
        "started": run.started,
        "ended": now,
        "host": run.host,
        "pid": None,
        "process_start": None,
        "heartbeat": None,
        "exit_reason": run.exit_reason,
        "folder": f"runs/{run_id}",
        "tags": json.dumps(list(dict.fromkeys((*run.tags, *options.tags)))),
        "note": mask_text(run.note),
        "config": text,
        "traceback": None,
        "provenance": json.dumps(clean_tree(provenance), sort_keys=True),
    }


def _event(run: ForeignRun, mark: str, totals: Totals) -> EventEntry:
    """Says in the run's own story where it is from, and what did not come along."""
    kept = f"{totals.values:,} metric values and {totals.responses:,} responses"
    message = f"imported from {run.source.label}, {run.path.name}: {kept}"
    if run.left_out:
        message += f"; left out: {'; '.join(run.left_out[:5])}"
    if len(run.left_out) > 5:
        message += f"; and {len(run.left_out) - 5} things more"
    return EventEntry(
        uuid=uuid.uuid5(uuid.NAMESPACE_OID, f"{run.uuid}:{mark}").hex,
        time=time.time(),
        step=None,
        severity="warning" if run.left_out else "info",
        kind="imported",
        message=message,
        data=clean_tree({"left_out": run.left_out}),
    )


def _ending(run: ForeignRun) -> StatusEntry:
    status = run.status.value
    assert status in ("finished", "failed", "interrupted")
    return StatusEntry.model_validate(
        {"status": status, "time": run.ended or time.time(), "exit_reason": run.exit_reason}
    )


def _prepare_update(registry: Registry, known: RunRecord, folder: Path) -> None:
    """Make the registry take the new journal from its beginning.

    What a person may have changed since (name, group, tags, note) stays; values and evaluations
    that the source no longer holds go.
    """
    columns, evaluations = described(folder / JOURNAL_NAME)
    theirs = ("name", "group", "tags", "note", "id", "uuid", "folder")
    values = {name: value for name, value in columns.items() if name not in theirs}
    runs, mine = table(Run), known.key
    stored = table(Evaluation)
    with registry.database.begin() as connection:
        for model in (Metric, MetricSummary):
            connection.execute(delete(table(model)).where(table(model).c.run == mine))
        gone = stored.c.run == mine, stored.c.uuid.not_in(sorted(evaluations))
        connection.execute(delete(stored).where(*gone))
        connection.execute(update(runs).where(runs.c.key == mine).values(journal_bytes=0, **values))


def _report(
    registry: Registry, run: ForeignRun, kept: RunRecord, state: str, totals: Totals | None
) -> Imported:
    evaluations = registry.evaluations([kept.uuid])
    left_out = run.left_out
    if totals is None:
        left_out = registry.provenance(kept.uuid).get("imported", {}).get("left_out", [])
    return Imported(
        run=kept.id,
        source=run.source,
        path=str(run.path),
        name=kept.name,
        state=state,
        status=kept.status,
        metrics=len(registry.metric_summaries([kept.uuid])[kept.uuid]),
        values=None if totals is None else totals.values,
        evaluations=len(evaluations),
        responses=sum(evaluation.n for evaluation in evaluations),
        left_out=[str(item) for item in left_out],
    )
