"""The files of policy revisions, so that every case can be decided again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """See store/policy_revisions.py for what each column is for."""
    op.create_table(
        "policy_revisions",
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("files", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_policy_revisions"),
    )


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")
