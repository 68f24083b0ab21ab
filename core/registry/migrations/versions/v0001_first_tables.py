"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "metric_name",
    "problem",
    "protocol",
    "run",
    "artifact",
    "evaluation",
    "event",
    "metric",
    "metric_summary",
    "segment",
    "response",
    "grade",
)


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "metric_name",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "problem",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("data_hash", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("truth", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("problem_identity", "problem", ["data_hash", "id"], unique=True)
    op.create_table(
        "protocol",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("generation", sa.String(), nullable=False),
        sa.Column("grading", sa.String(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("hash"),
    )
    op.create_table(
        "run",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("group", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("parent_uuid", sa.String(), nullable=True),
        sa.Column("config_hash", sa.String(), nullable=False),
        sa.Column("protocol_hash", sa.String(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_hash", sa.String(), nullable=True),
        sa.Column("data", sa.String(), nullable=False),
        sa.Column("data_hash", sa.String(), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("started", sa.Double(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.Column("host", sa.String(), nullable=True),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("process_start", sa.String(), nullable=True),
        sa.Column("heartbeat", sa.Double(), nullable=True),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("journal_bytes", sa.BigInteger(), nullable=False),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("traceback", sa.Text(), nullable=True),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("ix_run_group", "run", ["group"], unique=False)
    op.create_index("ix_run_name", "run", ["name"], unique=False)
    op.create_index("ix_run_status", "run", ["status"], unique=False)
    op.create_index("run_created", "run", ["created"], unique=False)
    op.create_index("run_parent", "run", ["parent_uuid"], unique=False)
    op.create_table(
        "artifact",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("artifact_identity", "artifact", ["run", "path"], unique=True)
    op.create_table(
        "evaluation",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("protocol", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("type1", sa.Integer(), nullable=False),
        sa.Column("type2", sa.Integer(), nullable=False),
        sa.Column("type3", sa.Integer(), nullable=False),
        sa.Column("unclosed", sa.Integer(), nullable=False),
        sa.Column("unparseable", sa.Integer(), nullable=False),
        sa.Column("numeric", sa.Integer(), nullable=False),
        sa.Column("truncated", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("interval_low", sa.Double(), nullable=False),
        sa.Column("interval_high", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("generated_tokens", sa.BigInteger(), nullable=False),
        sa.Column("accuracies", sa.Text(), nullable=False),
        sa.Column("lengths", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["protocol"],
            ["protocol.key"],
        ),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("evaluation_of_run", "evaluation", ["run", "step"], unique=False)
    op.create_table(
        "event",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("event_of_run", "event", ["run", "time"], unique=False)
    op.create_table(
        "metric",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("nonfinite", sa.String(), nullable=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.CheckConstraint("(value IS NULL) = (nonfinite IS NOT NULL)", name="metric_has_a_value"),
        sa.ForeignKeyConstraint(
            ["name"],
            ["metric_name.key"],
        ),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name", "segment", "step"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "metric_summary",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("name", sa.Integer(), nullable=False),
        sa.Column("last", sa.Double(), nullable=True),
        sa.Column("last_nonfinite", sa.String(), nullable=True),
        sa.Column("last_step", sa.Integer(), nullable=False),
        sa.Column("lowest", sa.Double(), nullable=True),
        sa.Column("lowest_step", sa.Integer(), nullable=True),
        sa.Column("highest", sa.Double(), nullable=True),
        sa.Column("highest_step", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["name"],
            ["metric_name.key"],
        ),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "segment",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("start_step", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run", "number"),
    )
    op.create_table(
        "response",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("evaluation", sa.Integer(), nullable=True),
        sa.Column("run", sa.Integer(), nullable=True),
        sa.Column("step", sa.Integer(), nullable=True),
        sa.Column("problem", sa.Integer(), nullable=False),
        sa.Column("sample", sa.Integer(), nullable=False),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("think_tokens", sa.Integer(), nullable=True),
        sa.Column("answer_position", sa.Integer(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("unparseable", sa.Boolean(), nullable=True),
        sa.Column("flags", sa.String(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("token_ids", sa.LargeBinary(), nullable=True),
        sa.Column("logprobs", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("(evaluation IS NULL) <> (run IS NULL)", name="response_has_one_owner"),
        sa.ForeignKeyConstraint(["evaluation"], ["evaluation.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["problem"],
            ["problem.key"],
        ),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(
        "response_identity", "response", ["evaluation", "problem", "sample"], unique=True
    )
    op.create_index(
        "response_of_step",
        "response",
        ["run", "step"],
        unique=False,
        sqlite_where=sa.text("run IS NOT NULL"),
        postgresql_where=sa.text("run IS NOT NULL"),
    )
    op.create_table(
        "grade",
        sa.Column("response", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("formatted", sa.Boolean(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("failure", sa.String(), nullable=True),
        sa.Column("extracted", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["response"], ["response.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("response", "grader", "version"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    """Drop every table and what is in it."""
    for table in reversed(_TABLES):
        op.drop_table(table)
