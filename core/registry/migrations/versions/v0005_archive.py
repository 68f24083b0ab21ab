"""The archive: runs that listings leave out until somebody asks for them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the flag; no run is archived yet."""
    op.add_column(
        "run", sa.Column("archived", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    """Every run is listed again."""
    op.drop_column("run", "archived")
