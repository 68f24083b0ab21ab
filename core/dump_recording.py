"""Keeps graded responses of a file as a run of the registry, wholly or not at all."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from core.dump_evaluation import DumpSettings
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.registry.entries import RunEntry, StatusEntry, clean_tree, new_uuid, to_line
from core.registry.evaluation_entries import (
    evaluation_head,
    evaluation_line,
    problem_rows,
    response_rows,
)
from core.registry.journal import journal_size
from core.registry.new_folders import write_run_folder
from core.registry.processes import host_name, process_mark
from core.registry.records import NewRun
from core.registry.store import Registry
from core.workspace import Workspace

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class DumpOrigin:
    """What is known about where the responses came from.

    Attributes:
        config: Stands for the configuration of the run.
        model: What generated them, for people.
        name: Name of the run.
        group: Group of the run.
        provenance: JSON-ready.
    """

    config: Mapping[str, Any]
    model: str
    name: str | None
    group: str | None
    provenance: Mapping[str, Any]


def record_dump(
    registry: Registry,
    workspace: Workspace,
    settings: DumpSettings,
    results: Sequence[EvaluationResult],
    origin: DumpOrigin,
) -> str:
    """Make a run of kind eval with these evaluations; returns its short id.

    Everything goes into the registry with one transaction, row by row, and with it a run folder
    with the journal: a stop at any moment leaves no trace.

    Raises:
        UserError: registry or workspace cannot be written; nothing was kept.
    """
    from core.registry.merge import set_held_bytes
    from core.registry.run_writes import add_run

    folder: Path | None = None
    try:
        with registry.database.begin() as connection:
            run = add_run(connection, _new_run(settings, results, origin))
            journal = _store(connection, run.key, results)
            folder = write_run_folder(workspace, run.id, journal)
            set_held_bytes(connection, run.uuid, journal_size(folder))
    except BaseException as error:
        if folder is not None and not _is_stored(registry, folder):
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(
                f"run folders in {workspace.runs_dir} cannot be written ({error.strerror}), so "
                "nothing was kept; make room there, or choose another place with --home"
            ) from error
        raise
    return run.id


def _is_stored(registry: Registry, folder: Path) -> bool:
    """The error came so late that the run is there all the same."""
    try:
        return bool(registry.database.read("SELECT 1 FROM run WHERE id = :id", {"id": folder.name}))
    except UserError:
        return True


def _store(
    connection: "Connection", key: int, results: Sequence[EvaluationResult]
) -> Iterator[bytes]:
    """Store evaluations of a new run; returns the journal that says the same, in pieces."""
    from core.registry.apply import apply_entries, store_evaluation
    from core.registry.run_writes import stored_columns

    begin, heads = _status("running"), []
    apply_entries(connection, key, [begin])
    for result in results:
        head = evaluation_head(result, new_uuid(), 0, time.time())
        store_evaluation(connection, key, head, problem_rows(result), response_rows(result))
        heads.append(head)
    end = _status("finished")
    apply_entries(connection, key, [end])
    lines = (evaluation_line(*pair) for pair in zip(heads, results, strict=True))
    description = RunEntry(columns=clean_tree(stored_columns(connection, key)))
    return chain([to_line(description), to_line(begin)], chain.from_iterable(lines), [to_line(end)])


def _new_run(
    settings: DumpSettings, results: Sequence[EvaluationResult], origin: DumpOrigin
) -> NewRun:
    digest = hashlib.sha256(json.dumps(origin.config, sort_keys=True).encode()).hexdigest()
    problems = {problem.id for result in results for problem in result.problems}
    return NewRun(
        kind="eval",
        config=origin.config,
        config_hash=digest[:16],
        model=origin.model,
        data=settings.name,
        data_hash=results[0].protocol.generation.data_hash,
        name=origin.name,
        group=origin.group,
        size=len(problems),
        provenance=origin.provenance,
    )


def _status(status: Literal["running", "finished"]) -> StatusEntry:
    return StatusEntry(
        status=status,
        time=time.time(),
        host=host_name(),
        pid=os.getpid(),
        process_start=process_mark(),
        exit_reason="completed" if status == "finished" else None,
    )
