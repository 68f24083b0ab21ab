"""Keeps graded responses of a file as a run of the registry, wholly or not at all."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from core.dump_evaluation import DumpSettings
from core.evaluation import EvaluationResult
from core.registry.entries import (
    StatusEntry,
    evaluation_head,
    new_uuid,
    problem_rows,
    response_rows,
)
from core.registry.processes import host_name, process_mark
from core.registry.records import NewRun
from core.registry.store import Registry


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
    settings: DumpSettings,
    results: Sequence[EvaluationResult],
    origin: DumpOrigin,
) -> str:
    """Make a run of kind eval with these evaluations; returns its short id.

    Everything goes in with one transaction, row by row: a stop at any moment leaves no trace. The
    run has no folder and no journal, because the file can be graded again.

    Raises:
        UserError: the registry cannot be written; nothing was kept.
    """
    from core.registry.apply import apply_entries, store_evaluation
    from core.registry.run_writes import add_run

    with registry.database.begin() as connection:
        run = add_run(connection, _new_run(settings, results, origin))
        apply_entries(connection, run.key, [_status("running")])
        for result in results:
            head = evaluation_head(result, new_uuid(), 0, time.time())
            store_evaluation(connection, run.key, head, problem_rows(result), response_rows(result))
        apply_entries(connection, run.key, [_status("finished")])
    return run.id


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
