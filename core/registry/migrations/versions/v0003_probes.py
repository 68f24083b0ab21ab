"""Probes: what would have come of stored responses under another setting."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of probes."""
    op.create_table(
        "probe",
        sa.Column("key", sa.Integer(), nullable=False),
        sa.Column("evaluation", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cap", sa.Integer(), nullable=False),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("eligible", sa.Integer(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("engine_version", sa.String(), nullable=False),
        sa.Column("dtype", sa.String(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["evaluation"], ["evaluation.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("probe_identity", "probe", ["evaluation", "kind", "cap"], unique=True)
    op.create_table(
        "probed_response",
        sa.Column("probe", sa.Integer(), nullable=False),
        sa.Column("response", sa.Integer(), nullable=False),
        sa.Column("finish", sa.String(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("same_prefix", sa.Boolean(), nullable=True),
        sa.Column("appended", sa.String(), nullable=False),
        sa.Column("verdicts", sa.Text(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["probe"], ["probe.key"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["response"], ["response.key"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("probe", "response"),
    )
    op.create_index("probed_response_of", "probed_response", ["response"], unique=False)


def downgrade() -> None:
    """Forget every probe."""
    op.drop_table("probed_response")
    op.drop_table("probe")
