"""Sessions of the SMART app, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """See store/app_sessions.py for what each column is for."""
    op.create_table(
        "app_sessions",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_app_sessions"),
    )
    op.create_index("ix_app_sessions_owner", "app_sessions", ["owner"])
    op.create_index("ix_app_sessions_until", "app_sessions", ["until"])


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")
