"""Subscriptions, what is to be told to them, and which events were spread among them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates everything; see outbox_tables.py for what each column is for."""
    op.add_column("events", sa.Column("spread_at", _INSTANT))
    op.create_index("ix_events_spread_at_position", "events", ["spread_at", "position"])
    op.create_table(
        "subscriptions",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("guide_version", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_subscriptions"),
        sa.UniqueConstraint("id", name="uq_subscriptions_id"),
    )
    op.create_index("ix_subscriptions_client", "subscriptions", ["client"])
    _create_deliveries()


def downgrade() -> None:
    """There is no way back. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("subscription_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("event_id", sa.String(64)),
        sa.Column("due_at", _INSTANT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("claims", sa.Integer, nullable=False),
        sa.Column("delivered_at", _INSTANT),
        sa.PrimaryKeyConstraint("subscription_id", "number", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name="fk_deliveries_subscription_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["event_id"], ["events.id"], name="fk_deliveries_event_id"),
        sa.CheckConstraint("(number = 0) = (event_id IS NULL)", name="ck_deliveries_handshake"),
    )
    op.create_index("ix_deliveries_delivered_at_due_at", "deliveries", ["delivered_at", "due_at"])
