"""The tables. Migrations are checked against these classes; writers use them, readers use SQL.

Times are seconds since the epoch (UTC). Columns that hold JSON are text. Large columns come last,
so that SQLite reads the small ones without walking overflow pages. A flag may stand behind them:
the header of a row says whether it is 0 or 1.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    false,
    text,
)
from sqlmodel import Field, SQLModel

_NO_ROWID = {"sqlite_with_rowid": False}


def _text(*, nullable: bool = False) -> Column[str]:
    return Column(Text, nullable=nullable)


def _double(*, nullable: bool = False) -> Column[float]:
    return Column(Double, nullable=nullable)


def _big(*, nullable: bool = False) -> Column[int]:
    return Column(BigInteger, nullable=nullable)


def _blob(*, nullable: bool = False) -> Column[bytes]:
    return Column(LargeBinary, nullable=nullable)


def _step(*, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    """Other tools count tokens or frames as steps; an INTEGER of SQLite is wide anyway."""
    wide = Integer().with_variant(BigInteger(), "postgresql")
    return Column(wide, primary_key=primary_key, nullable=nullable)


def _owner(table: str, *, primary_key: bool = False, nullable: bool = False) -> Column[int]:
    """The row this one belongs to; it goes when that one goes."""
    reference = ForeignKey(f"{table}.key", ondelete="CASCADE")
    return Column(reference, primary_key=primary_key, nullable=nullable)


class Run(SQLModel, table=True):
    """One run. `parent_uuid` is no foreign key: lineage outlives the deletion of the parent."""

    __tablename__ = "run"
    __table_args__ = (Index("run_created", "created"), Index("run_parent", "parent_uuid"))

    key: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(unique=True)
    id: str = Field(unique=True)
    kind: str
    name: str | None = Field(default=None, index=True)
    group: str | None = Field(default=None, index=True)
    status: str = Field(index=True)
    parent_uuid: str | None = None
    config_hash: str
    protocol_hash: str | None = None
    seed: int | None = Field(default=None, sa_column=_big(nullable=True))
    model: str
    model_hash: str | None = None
    data: str
    data_hash: str | None = None
    size: int | None = None
    created: float = Field(sa_column=_double())
    started: float | None = Field(default=None, sa_column=_double(nullable=True))
    ended: float | None = Field(default=None, sa_column=_double(nullable=True))
    host: str | None = None
    pid: int | None = None
    process_start: str | None = None
    heartbeat: float | None = Field(default=None, sa_column=_double(nullable=True))
    exit_reason: str | None = Field(default=None, sa_column=_text(nullable=True))
    folder: str
    journal_bytes: int = Field(default=0, sa_column=_big())
    tags: str = Field(sa_column=_text())
    note: str = Field(sa_column=_text())
    config: str = Field(sa_column=_text())
    traceback: str | None = Field(default=None, sa_column=_text(nullable=True))
    provenance: str = Field(sa_column=_text())
    archived: bool = Field(
        default=False, sa_column=Column(Boolean, nullable=False, server_default=false())
    )


class Segment(SQLModel, table=True):
    """A stretch of a run's steps; a newer one hides what older ones hold after `start_step`."""

    __tablename__ = "segment"

    run: int = Field(sa_column=_owner("run", primary_key=True))
    number: int = Field(primary_key=True)
    start_step: int = Field(sa_column=_step())
    time: float = Field(sa_column=_double())


class MetricName(SQLModel, table=True):
    """Interned names of metrics."""

    __tablename__ = "metric_name"

    key: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)


class Metric(SQLModel, table=True):
    """One value. Where it is not finite, `value` is NULL and `nonfinite` says what it is."""

    __tablename__ = "metric"
    __table_args__ = (
        CheckConstraint("(value IS NULL) = (nonfinite IS NOT NULL)", name="metric_has_a_value"),
        _NO_ROWID,
    )

    run: int = Field(sa_column=_owner("run", primary_key=True))
    name: int = Field(foreign_key="metric_name.key", primary_key=True)
    segment: int = Field(primary_key=True)
    step: int = Field(sa_column=_step(primary_key=True))
    value: float | None = Field(default=None, sa_column=_double(nullable=True))
    nonfinite: str | None = None
    time: float = Field(sa_column=_double())


class MetricSummary(SQLModel, table=True):
    """Last, smallest and largest visible value; the latter two over finite values only."""

    __tablename__ = "metric_summary"
    __table_args__ = (_NO_ROWID,)

    run: int = Field(sa_column=_owner("run", primary_key=True))
    name: int = Field(foreign_key="metric_name.key", primary_key=True)
    last: float | None = Field(default=None, sa_column=_double(nullable=True))
    last_nonfinite: str | None = None
    last_step: int = Field(sa_column=_step())
    lowest: float | None = Field(default=None, sa_column=_double(nullable=True))
    lowest_step: int | None = Field(default=None, sa_column=_step(nullable=True))
    highest: float | None = Field(default=None, sa_column=_double(nullable=True))
    highest_step: int | None = Field(default=None, sa_column=_step(nullable=True))


class StoredProblem(SQLModel, table=True):
    """One question, stored once per data set however often it is asked."""

    __tablename__ = "problem"
    __table_args__ = (Index("problem_identity", "data_hash", "id", unique=True),)

    key: int | None = Field(default=None, primary_key=True)
    data_hash: str
    id: str
    question: str = Field(sa_column=_text())
    truth: str = Field(sa_column=_text())


class StoredProtocol(SQLModel, table=True):
    """How responses were generated and graded: both fingerprints and every field."""

    __tablename__ = "protocol"

    key: int | None = Field(default=None, primary_key=True)
    hash: str = Field(unique=True)
    generation: str
    grading: str
    fields: str = Field(sa_column=_text())


class Evaluation(SQLModel, table=True):
    """The figures of one evaluation."""

    __tablename__ = "evaluation"
    __table_args__ = (Index("evaluation_of_run", "run", "step"),)

    key: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(unique=True)
    run: int = Field(sa_column=_owner("run"))
    segment: int
    step: int = Field(sa_column=_step())
    split: str
    protocol: int = Field(foreign_key="protocol.key")
    time: float = Field(sa_column=_double())
    n: int
    type1: int
    type2: int
    type3: int
    unclosed: int
    unparseable: int
    numeric: int
    truncated: int
    accuracy: float = Field(sa_column=_double())
    interval_low: float = Field(sa_column=_double())
    interval_high: float = Field(sa_column=_double())
    seconds: float = Field(sa_column=_double())
    generated_tokens: int = Field(sa_column=_big())
    accuracies: str = Field(sa_column=_text())
    lengths: str = Field(sa_column=_text())


class RolloutBatch(SQLModel, table=True):
    """One rollout batch; `step` is the update that first learned from it."""

    __tablename__ = "rollout_batch"
    __table_args__ = (Index("rollout_batch_of_run", "run", "step"),)

    key: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(unique=True)
    run: int = Field(sa_column=_owner("run"))
    segment: int
    step: int = Field(sa_column=_step())
    number: int
    time: float = Field(sa_column=_double())
    per_question: int
    grader: str
    n: int
    generate_seconds: float = Field(sa_column=_double())
    grade_seconds: float = Field(sa_column=_double())
    sync_seconds: float = Field(sa_column=_double())


class Response(SQLModel, table=True):
    """One response, of an evaluation or of a rollout batch (then with run and step).

    The view `response` puts what many of them share beside it. `extracted` is the answer that
    graders found in it, `also_extracted` a JSON list of others.
    """

    __tablename__ = "answer"
    __table_args__ = (
        Index(
            "answer_identity",
            "evaluation",
            "problem",
            "sample",
            unique=True,
            sqlite_where=text("evaluation IS NOT NULL"),
            postgresql_where=text("evaluation IS NOT NULL"),
        ),
        Index(
            "answer_of_step",
            "run",
            "step",
            sqlite_where=text("run IS NOT NULL"),
            postgresql_where=text("run IS NOT NULL"),
        ),
        Index(
            "answer_of_batch",
            "batch",
            "problem",
            "sample",
            unique=True,
            sqlite_where=text("batch IS NOT NULL"),
            postgresql_where=text("batch IS NOT NULL"),
        ),
        CheckConstraint("(evaluation IS NULL) <> (run IS NULL)", name="answer_has_one_owner"),
    )

    key: int | None = Field(default=None, primary_key=True)
    evaluation: int | None = Field(default=None, sa_column=_owner("evaluation", nullable=True))
    run: int | None = Field(default=None, sa_column=_owner("run", nullable=True))
    step: int | None = Field(default=None, sa_column=_step(nullable=True))
    problem: int = Field(foreign_key="problem.key")
    sample: int
    tokens: int
    think_tokens: int | None = None
    answer_position: int | None = None
    batch: int | None = Field(default=None, foreign_key="rollout_batch.key")
    verdict_set: int = Field(foreign_key="verdict_set.key")
    extracted: str | None = Field(default=None, sa_column=_text(nullable=True))
    also_extracted: str | None = Field(default=None, sa_column=_text(nullable=True))
    text: bytes = Field(sa_column=_blob())
    token_ids: bytes | None = Field(default=None, sa_column=_blob(nullable=True))
    logprobs: bytes | None = Field(default=None, sa_column=_blob(nullable=True))


class VerdictSet(SQLModel, table=True):
    """How a response ended and what all graders say about it, without its answers.

    Many responses share one. `text` is all of it with the rows in `verdict` as JSON: equal sets
    have equal texts.
    """

    __tablename__ = "verdict_set"

    key: int | None = Field(default=None, primary_key=True)
    finish: str
    closed: bool
    unparseable: bool | None = None
    flags: str
    text: str = Field(sa_column=Column(Text, nullable=False, unique=True))


class Verdict(SQLModel, table=True):
    """What one version of one grader says about the responses of a set.

    `place` tells which extracted answer of a response is meant: 0 `extracted`, -1 the same without
    the spaces around it, from 1 on those of `also_extracted`; NULL stands for none. `newest` marks
    the newest version of each grader in the set. The view `grade` puts a response's rows together.
    """

    __tablename__ = "verdict"
    __table_args__ = (_NO_ROWID,)

    verdict_set: int = Field(sa_column=_owner("verdict_set", primary_key=True))
    grader: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    formatted: bool
    right: bool
    failure: str | None = None
    place: int | None = None
    newest: bool


class TextDictionary(SQLModel, table=True):
    """What the responses of a run are compressed with: some of its own responses, compressed.

    `id` is what the compressed texts name it by.
    """

    __tablename__ = "text_dictionary"
    __table_args__ = (Index("text_dictionary_of_run", "run"),)

    key: int | None = Field(default=None, primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    run: int = Field(sa_column=_owner("run"))
    content: bytes = Field(sa_column=_blob())


class Probe(SQLModel, table=True):
    """One question put to stored responses: what would have come of them, under one setting.

    `kind` is `max_tokens` (made again with a larger cap) or `close` (helped to close the answer),
    `cap` the new cap on the whole response, or on what the model adds after the help. `eligible`
    counts the responses that the question applies to; the probed ones may be fewer.
    """

    __tablename__ = "probe"
    __table_args__ = (Index("probe_identity", "evaluation", "kind", "cap", unique=True),)

    key: int | None = Field(default=None, primary_key=True)
    evaluation: int = Field(sa_column=_owner("evaluation"))
    kind: str
    cap: int
    time: float = Field(sa_column=_double())
    eligible: int
    engine: str
    engine_version: str
    dtype: str
    seconds: float = Field(sa_column=_double())


class ProbedResponse(SQLModel, table=True):
    """What became of one response under a probe.

    `text` is the whole text that was graded, `appended` what the probe put behind the stored
    response before the model went on, `tokens` the length of the new text in tokens (for `close`:
    of what the model added). `same_prefix` says whether a response that was made again begins with
    the stored one. `verdicts` holds each grader's verdict with its version.
    """

    __tablename__ = "probed_response"
    __table_args__ = (Index("probed_response_of", "response"),)

    probe: int = Field(sa_column=_owner("probe", primary_key=True))
    response: int = Field(sa_column=_owner("answer", primary_key=True))
    finish: str
    tokens: int
    closed: bool
    same_prefix: bool | None = None
    appended: str
    verdicts: str = Field(sa_column=_text())
    text: bytes = Field(sa_column=_blob())


class Event(SQLModel, table=True):
    """Something that happened in a run."""

    __tablename__ = "event"
    __table_args__ = (Index("event_of_run", "run", "time"),)

    key: int | None = Field(default=None, primary_key=True)
    uuid: str = Field(unique=True)
    run: int = Field(sa_column=_owner("run"))
    time: float = Field(sa_column=_double())
    step: int | None = Field(default=None, sa_column=_step(nullable=True))
    severity: str
    kind: str
    message: str = Field(sa_column=_text())
    data: str | None = Field(default=None, sa_column=_text(nullable=True))


class Artifact(SQLModel, table=True):
    """A file or folder that a run made; `path` is relative to the run folder."""

    __tablename__ = "artifact"
    __table_args__ = (Index("artifact_identity", "run", "path", unique=True),)

    key: int | None = Field(default=None, primary_key=True)
    run: int = Field(sa_column=_owner("run"))
    time: float = Field(sa_column=_double())
    kind: str
    path: str
    bytes: int = Field(sa_column=_big())
    sha256: str


class Plan(SQLModel, table=True):
    """Criteria written down before the runs they judge; every version that was ever seen."""

    __tablename__ = "plan"
    __table_args__ = (Index("plan_identity", "name", "hash", unique=True),)

    key: int | None = Field(default=None, primary_key=True)
    name: str
    hash: str
    first_seen: float = Field(sa_column=_double())
    text: str = Field(sa_column=_text())


def table(model: type[SQLModel]) -> Table:
    """The table behind a class, for statements that write many rows at once."""
    return SQLModel.metadata.tables[str(model.__tablename__)]
