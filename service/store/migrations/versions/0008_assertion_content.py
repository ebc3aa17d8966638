"""Assertions by client, content and coverage, for orders whose id has changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """See tables.py for what the column is for. Assertions of before are found by their order alone."""
    op.add_column("assertions", sa.Column("alike", sa.String(64)))
    op.create_index("ix_assertions_alike_made_at", "assertions", ["alike", "made_at"])


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")
