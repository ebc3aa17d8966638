"""The tables of subscriptions and of what is to be told to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from service.store.tables import Instant, events, metadata

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("client", Text, nullable=False, index=True),
    Column("guide_version", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("resource", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    # How many events it has; the next one's number is one more, and no number is used twice.
    Column("events", Integer, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("subscription_id", String(64), ForeignKey("subscriptions.id", ondelete="CASCADE"), primary_key=True),
    # 0 is the handshake.
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("event_id", String(64), ForeignKey(events.c.id)),
    # When it may be tried; while somebody has it, when their lease ends.
    Column("due_at", Instant, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Counts up with every lease and is never set back, so that a lost lease is noticed.
    Column("claims", Integer, nullable=False),
    Column("delivered_at", Instant),
    CheckConstraint("(number = 0) = (event_id IS NULL)", name="handshake"),
    Index(None, "delivered_at", "due_at"),
)
