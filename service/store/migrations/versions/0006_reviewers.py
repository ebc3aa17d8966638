"""Reviewers' accounts, sessions and sign-in attempts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """See store/reviewers.py for what each column is for."""
    op.create_table(
        "reviewers",
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("npi", sa.String(10)),
        sa.Column("specialty", sa.String(10)),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("disabled_at", _INSTANT),
        sa.PrimaryKeyConstraint("login", name="pk_reviewers"),
    )
    op.create_table(
        "review_sessions",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("login", sa.String(64), nullable=False),
        sa.Column("opened_at", _INSTANT, nullable=False),
        sa.Column("seen_at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_review_sessions"),
    )
    op.create_index("ix_review_sessions_login", "review_sessions", ["login"])
    op.create_index("ix_review_sessions_opened_at", "review_sessions", ["opened_at"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_attempts"),
    )
    op.create_index("ix_sign_in_attempts_at", "sign_in_attempts", ["at"])
    op.create_index("ix_sign_in_attempts_subject_at", "sign_in_attempts", ["subject", "at"])


def downgrade() -> None:
    """There is no way back: it would leave nobody to review. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")
