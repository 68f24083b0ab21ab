"""What a recorder writes: one class per kind of journal line, checked when a line is read back."""

import math
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.registry.codec import clean
from core.registry.later_entries import ConfigEntry, ProbeEntry, RegradeEntry


class _Entry(BaseModel):
    # JSON has no NaN: non-finite numbers travel as the strings "NaN", "Infinity", "-Infinity"
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")


class RunEntry(_Entry):
    """The run's own row, so that a journal can be merged into a registry that never saw the run."""

    entry: Literal["run"] = "run"
    columns: dict[str, Any]


class StatusEntry(_Entry):
    """The run changed its status; columns that are None stay as they are."""

    entry: Literal["status"] = "status"
    status: Literal["running", "finished", "failed", "interrupted"]
    time: float
    host: str | None = None
    pid: int | None = None
    process_start: str | None = None
    exit_reason: str | None = None
    traceback: str | None = None


class SegmentEntry(_Entry):
    """A new segment: what older ones hold after `start_step` is superseded."""

    entry: Literal["segment"] = "segment"
    number: int
    start_step: int
    time: float


class MetricsEntry(_Entry):
    """The metrics of one step."""

    entry: Literal["metrics"] = "metrics"
    segment: int
    step: int
    time: float
    values: dict[str, float]


class EventEntry(_Entry):
    """Something that happened."""

    entry: Literal["event"] = "event"
    uuid: str
    time: float
    step: int | None
    severity: str
    kind: str
    message: str
    data: Any = None


class ArtifactEntry(_Entry):
    """A file or folder; `path` relative to the run folder, with forward slashes."""

    entry: Literal["artifact"] = "artifact"
    time: float
    kind: str
    path: str
    bytes: int
    sha256: str


class ProblemRow(_Entry):
    """One problem that was asked."""

    id: str
    question: str
    truth: str


class GradeRow(_Entry):
    """One grader's verdict."""

    grader: str
    version: int
    formatted: bool
    right: bool
    extracted: str | None
    failure: str | None


class ResponseRow(_Entry):
    """One response; `problem` is the id of the problem it answers."""

    problem: str
    sample: int
    text: str
    finish: str
    tokens: int
    think_tokens: int | None
    answer_position: int | None
    closed: bool
    unparseable: bool | None
    flags: list[str]
    grades: list[GradeRow]


class ProtocolRow(_Entry):
    """Both fingerprints, and every field behind them."""

    generation: str
    grading: str
    data_hash: str
    fields: dict[str, Any]


class EvaluationEntry(_Entry):
    """One evaluation with its responses."""

    entry: Literal["evaluation"] = "evaluation"
    uuid: str
    segment: int
    step: int
    split: str
    time: float
    protocol: ProtocolRow
    n: int
    type1: int
    type2: int
    type3: int
    unclosed: int
    unparseable: int
    numeric: int
    truncated: int
    accuracy: float
    interval: tuple[float, float]
    accuracies: dict[str, float]
    lengths: dict[str, dict[str, Any]]
    seconds: float
    generated_tokens: int
    problems: list[ProblemRow]
    responses: list[ResponseRow]


class RolloutsEntry(_Entry):
    """One rollout batch; `rows` holds its problems and responses (`core.registry.rollout_entries`).

    The uuid depends on the run, the numbers and the rows, and on nothing else: a batch that a
    resumed run goes on with is recorded again under the same one.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    entry: Literal["rollouts"] = "rollouts"
    uuid: str
    segment: int
    step: int
    number: int
    time: float
    per_question: int
    grader: str
    n: int
    generate_seconds: float
    grade_seconds: float
    sync_seconds: float
    data_hash: str
    problems: int
    rows: bytes


Entry = (
    RunEntry
    | StatusEntry
    | SegmentEntry
    | MetricsEntry
    | EventEntry
    | ArtifactEntry
    | EvaluationEntry
    | RolloutsEntry
    | ConfigEntry
    | RegradeEntry
    | ProbeEntry
)
_ADAPTER: TypeAdapter[Entry] = TypeAdapter(Annotated[Entry, Field(discriminator="entry")])


def parse_entry(line: bytes) -> Entry:
    """One journal line.

    Raises:
        ValueError: torn, damaged, or of a kind that this version does not know.
    """
    return _ADAPTER.validate_json(line)


def to_line(entry: Entry) -> bytes:
    """One journal line, newline included."""
    return entry.model_dump_json().encode() + b"\n"


def new_uuid() -> str:
    """A random identity, 32 hex digits."""
    return uuid.uuid4().hex


def clean_tree(value: Any) -> Any:
    """A copy that any JSON reader takes: other values become text, and so do NaN and infinities."""
    if isinstance(value, str):
        return clean(str(value))
    if isinstance(value, Mapping):
        return {clean(str(key)): clean_tree(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_tree(item) for item in value]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    return clean(str(value))
