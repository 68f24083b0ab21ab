"""A run as another tool left it: what every reader hands over, whatever the format."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from core.data.dumps import DumpedResponse
from core.interchange.curves import Curves
from core.interchange.graded_rows import RowTally
from core.registry.records import RunStatus

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_OID, "a5ctl import")


class Source(StrEnum):
    """Whose files can be read; the values are those of `--from`."""

    RUN = "run"
    WANDB = "wandb"
    TENSORBOARD = "tensorboard"
    MLFLOW = "mlflow"
    COURSE = "course"
    LM_EVAL = "lm-eval"

    @property
    def label(self) -> str:
        """For people."""
        return _LABELS[self]


_LABELS = {
    Source.RUN: "an a5ctl run folder",
    Source.WANDB: "a W&B offline run",
    Source.TENSORBOARD: "a TensorBoard log",
    Source.MLFLOW: "an MLflow run",
    Source.COURSE: "a folder of evaluation logs",
    Source.LM_EVAL: "lm-evaluation-harness samples",
}


@dataclass(frozen=True, slots=True)
class ForeignEvaluation:
    """Responses of one step that were brought along.

    Attributes:
        place: Where they are, for messages.
        split: What they answer, for example a task.
        time: Seconds since the epoch.
        responses: Read once, as they are graded.
        tally: Complete when they are read.
    """

    place: str
    step: int
    split: str
    time: float
    responses: Iterator[DumpedResponse]
    tally: RowTally


@dataclass(slots=True)
class ForeignRun:
    """One run of another tool.

    Attributes:
        identity: What makes it that run and no other, wherever its files are now; never empty.
        path: What was read.
        fingerprint: Changes when the files change.
        settings: Its configuration.
        status: How it ended; a run that never said so is interrupted.
        parent: Identity of the run that it belongs under.
        origin: Further facts for the record: host, commit, command, versions, final figures.
        left_out: What was not read or not kept, in whole sentences without a full stop.
    """

    source: Source
    identity: str
    path: Path
    fingerprint: str
    name: str | None = None
    group: str | None = None
    model: str = "unknown"
    data: str = "unknown"
    tags: tuple[str, ...] = ()
    note: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    status: RunStatus = RunStatus.INTERRUPTED
    exit_reason: str | None = None
    created: float | None = None
    started: float | None = None
    ended: float | None = None
    host: str | None = None
    parent: str | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)
    curves: Curves = field(default_factory=Curves)
    evaluations: list[ForeignEvaluation] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @property
    def uuid(self) -> str:
        """The same wherever and whenever this run is imported; 32 hex digits."""
        return foreign_uuid(self.source, self.identity)


def foreign_uuid(source: Source, identity: str) -> str:
    """Identity in the registry of another tool's run."""
    return uuid.uuid5(_NAMESPACE, f"{source}:{identity}").hex


def fingerprint_of(paths: list[Path]) -> str:
    """SHA-256 over the content of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
