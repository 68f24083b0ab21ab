"""What the registry hands out: frozen records, free of any database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from core.config.older import tree_of_today
from core.errors import UserError

_SECTIONS = ("model", "data", "prompt", "train", "evaluation", "rollout", "ei", "grpo", "dpo")


class RunStatus(StrEnum):
    """Where a run stands, as stored."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def settled(self) -> bool:
        """Nothing more is expected of the run."""
        return self not in (RunStatus.QUEUED, RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class NewRun:
    """What is known about a run before it starts.

    Attributes:
        kind: Method, for example `sft`.
        config: The resolved configuration as a JSON-ready tree.
        size: Training problems (evaluated ones where nothing is trained).
        provenance: JSON-ready; commit, packages, hardware, hashes.
        id: Short id to use; made when not given.
    """

    kind: str
    config: Mapping[str, Any]
    config_hash: str
    model: str
    data: str
    name: str | None = None
    group: str | None = None
    parent_uuid: str | None = None
    seed: int | None = None
    model_hash: str | None = None
    data_hash: str | None = None
    size: int | None = None
    provenance: Mapping[str, Any] | None = None
    tags: tuple[str, ...] = ()
    note: str = ""
    id: str | None = None


@dataclass(frozen=True)
class RunRecord:
    """One run as stored. Times are seconds since the epoch.

    Attributes:
        uuid: Identity.
        id: Short id for people.
        status: A `RunStatus`; `core.registry.liveness.display_status` says what to show.
        folder: Run folder, relative to the workspace.
        process_start: Opaque mark of the process that records, to tell it from a later one.
        journal_bytes: How much of the run's journal the registry holds.
        config_json: The configuration; `config` parses it once.
        archived: Left out of listings and comparisons that do not name it.
    """

    key: int
    uuid: str
    id: str
    kind: str
    name: str | None
    group: str | None
    status: RunStatus
    parent_uuid: str | None
    config_hash: str
    protocol_hash: str | None
    seed: int | None
    model: str
    model_hash: str | None
    data: str
    data_hash: str | None
    size: int | None
    created: float
    started: float | None
    ended: float | None
    host: str | None
    pid: int | None
    process_start: str | None
    heartbeat: float | None
    exit_reason: str | None
    folder: str
    journal_bytes: int
    tags_json: str
    note: str
    config_json: str
    archived: bool = False

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration as a nested dictionary, under today's names of settings.

        Raises:
            UserError: what is stored is none.
        """
        try:
            tree = tree_of_today(json.loads(self.config_json))
            if not all(isinstance(tree.get(name, {}), dict) for name in _SECTIONS):
                raise ValueError("a section is no table")
            return tree
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(
                f"the stored settings of run {self.id} cannot be read; bring them back from its "
                "journal with: a5ctl registry repair"
            ) from error

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's labels."""
        try:
            return tuple(map(str, json.loads(self.tags_json)))
        except (ValueError, TypeError, RecursionError):
            return ()

    @property
    def selected_on_test(self) -> bool:
        """Accuracies on a test split chose its first weights, or some that they descend from."""
        if '"selected_on"' not in self.config_json:  # most runs are told apart without parsing
            return False
        splits = self.config.get("model", {}).get("selected_on") or ()
        return any(split.startswith("test") for split in splits)


@dataclass(frozen=True, slots=True)
class MetricPoint:
    """One value of a metric; `time` in seconds since the epoch."""

    step: int
    value: float
    time: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Neighbouring values of a metric as one point.

    Attributes:
        step: The last step of them.
        value: Their mean; None where none is finite. Like the next two over finite values only.
        lowest: The smallest.
        highest: The largest.
        count: How many values they are.
        nonfinite: How many of them are not finite.
    """

    step: int
    value: float | None
    lowest: float | None
    highest: float | None
    count: int
    nonfinite: int


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """A metric in short; `lowest` and `highest` over finite values, None when there is none."""

    last: float
    last_step: int
    lowest: float | None
    lowest_step: int | None
    highest: float | None
    highest_step: int | None


@dataclass(frozen=True, slots=True)
class NamesInUse:
    """Groups and kinds that runs of a registry have, each once."""

    groups: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """The figure that a listing shows of an evaluation."""

    step: int
    split: str
    n: int
    accuracy: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class EvaluationRecord:
    """One evaluation with all its figures.

    Attributes:
        run_uuid: Run that was evaluated.
        step: Optimizer updates done.
        numeric: Responses with a numeric truth: the denominator of `unparseable`.
        accuracy: Share right under the protocol's own grader.
        interval: 95% interval of the accuracy.
        accuracy_by_grader: Share right under each grader.
        lengths_json: Distributions of lengths; `lengths` parses them once.
        generation: Fingerprint of the generation protocol.
        grading: Fingerprint of the grading protocol.
        protocol: Every field of both, flat.
        seconds: Wall time of the generation.
    """

    uuid: str
    run_uuid: str
    segment: int
    step: int
    split: str
    time: float
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
    accuracy_by_grader: Mapping[str, float]
    lengths_json: str
    seconds: float
    generated_tokens: int
    generation: str
    grading: str
    protocol: Mapping[str, Any]

    @cached_property
    def lengths(self) -> dict[str, dict[str, Any]]:
        """Distributions in tokens by name (`response`, `think`, `answer_position`).

        Each has n, mean, p50, p90, p99, maximum, bin_edges, counts.
        """
        return dict(json.loads(self.lengths_json))

    @property
    def tokens_per_second(self) -> float:
        """New tokens per second of generation."""
        return self.generated_tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def grader(self) -> str:
        """The grader behind `accuracy`."""
        return str(self.protocol["grader"])

    @property
    def closure_gap(self) -> float:
        """Diagnostic accuracy minus accuracy."""
        return self.accuracy_by_grader["diagnostic"] - self.accuracy

    @property
    def format_gap(self) -> float:
        """Lenient accuracy minus accuracy: what the format costs at most."""
        return self.accuracy_by_grader["lenient"] - self.accuracy


@dataclass(frozen=True, slots=True)
class StoredGrade:
    """What one grader says about a response; `failure` is None where it says right."""

    formatted: bool
    right: bool
    extracted: str | None
    failure: str | None
    version: int


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response with its problem and grades.

    Attributes:
        sample: Number of the sample for this problem, from 0.
        finish: Why it ended (`core.engines.base.FinishReason`).
        tokens: Length in tokens.
        think_tokens: Tokens before the first `</think>`; None when it never comes.
        answer_position: Tokens before the last `<answer>`; None when it never comes.
        unparseable: None where the truth is not a number.
        grades: By grader name, newest version of each.
    """

    problem_id: str
    question: str
    truth: str
    sample: int
    text: str
    finish: str
    tokens: int
    think_tokens: int | None
    answer_position: int | None
    closed: bool
    unparseable: bool | None
    flags: frozenset[str]
    grades: Mapping[str, StoredGrade]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened; `time` in seconds since the epoch."""

    time: float
    step: int | None
    severity: str
    kind: str
    message: str
    data: Any


@dataclass(frozen=True, slots=True)
class ArtifactRecord:
    """A file or folder of a run; `path` is relative to the run folder."""

    kind: str
    path: str
    bytes: int
    sha256: str
    time: float


class Outcome(StrEnum):
    """What a rate counts."""

    ACCURACY = "accuracy"
    """Right under a grader."""
    FORMATTED = "formatted"
    """Formatted under a grader, right or wrong."""
    UNCLOSED = "unclosed"
    """The last `<answer>` is never closed."""
    UNPARSEABLE = "unparseable"
    """Closed without exactly one number, of the responses whose truth is a number."""
    TRUNCATED = "truncated"
    """Stopped by the token cap."""
    LAST_NUMBER = "last_number"
    """The last number of the response is the truth, whatever the format."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """One version of a plan.

    Attributes:
        hash: 16 hex digits over its content; comments and layout do not count.
        first_seen: Seconds since the epoch, by the clock of the machine that stored it.
        text: The file as it was.
    """

    name: str
    hash: str
    first_seen: float
    text: str


@dataclass(frozen=True, slots=True)
class Deletion:
    """What goes with a run: rows by table, and its folder relative to the workspace."""

    run_id: str
    rows: Mapping[str, int]
    folder: str
    children: tuple[str, ...]
