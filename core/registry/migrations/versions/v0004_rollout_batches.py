"""Rollout batches: which responses were sampled together, and in which segment of a run."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of batches, and let responses belong to them."""
    op.create_table(
        "rollout_batch",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("per_question", sa.Integer(), nullable=False),
        sa.Column("grader", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("generate_seconds", sa.Double(), nullable=False),
        sa.Column("grade_seconds", sa.Double(), nullable=False),
        sa.Column("sync_seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["run.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("uuid"),
    )
    op.create_index("rollout_batch_of_run", "rollout_batch", ["run", "step"], unique=False)
    # SQLite adds a reference with its column or not at all; rows go with their run
    op.execute('ALTER TABLE response ADD COLUMN batch INTEGER REFERENCES rollout_batch ("key")')
    op.create_index(
        "response_of_batch",
        "response",
        ["batch", "problem", "sample"],
        unique=True,
        sqlite_where=sa.text("batch IS NOT NULL"),
        postgresql_where=sa.text("batch IS NOT NULL"),
    )


def downgrade() -> None:
    """Drop the rollouts; evaluations stay."""
    op.execute("DELETE FROM response WHERE batch IS NOT NULL")
    op.drop_index("response_of_batch", "response")
    op.drop_column("response", "batch")
    op.drop_table("rollout_batch")
