"""Keeps graded responses of a file as a run of the registry."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.dump_evaluation import DumpSettings
from core.errors import UserError
from core.evaluation import EvaluationResult
from core.registry.recorder import Recorder
from core.registry.records import NewRun, RunStatus
from core.registry.store import Registry
from core.workspace import Workspace

_STORE_TIMEOUT_S = 1800.0


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

    Raises:
        UserError: registry or run folder cannot be written; what could be kept is kept.
    """
    digest = hashlib.sha256(json.dumps(origin.config, sort_keys=True).encode()).hexdigest()
    problems = {problem.id for result in results for problem in result.problems}
    run = registry.create_run(
        NewRun(
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
    )
    with Recorder(registry, run.uuid, workspace.run_folder(run.id)) as recorder:
        for result in results:
            recorder.evaluation(result)
            # one evaluation at a time: each is held several times over while it is written
            recorder.flush(_STORE_TIMEOUT_S)
        recorder.finish(RunStatus.FINISHED, "completed")
        problem = recorder.problem
    if recorder.unsaved:
        raise UserError(f"run {run.id} could not be stored: {problem}; grade the file again")
    return run.id
