"""The tables, for SQLite and PostgreSQL alike. Whole documents are kept as text or bytes; columns are for finding."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from service.store.codec import write_json

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept in UTC; SQLite has no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("an instant has a zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Received(TypeDecorator[str]):
    """Text that a caller chose, of any length. PostgreSQL takes no U+0000, which JSON can carry."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        return value and value.replace("\x00", "\ufffd")


def lookup_key(*parts: str) -> str:
    """A fixed-length name for texts of any length: an index entry has a limit, what callers send has none."""
    return hashlib.sha256(write_json({"parts": parts}).encode()).hexdigest()


def _position() -> Column[int]:
    """Order of arrival: settles which of two rows of one instant is the newer."""
    return Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)


def _case(*, key: bool = False) -> Column[str]:
    # Checked at commit: a submission claims its content hash first, its case follows in the same transaction.
    reference = ForeignKey("cases.id", deferrable=True, initially="DEFERRED")
    return Column("case_id", String(64), reference, nullable=False, primary_key=key)


cases = Table(
    "cases",
    metadata,
    _position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("client", Text, nullable=False),
    Column("member", Received),
    Column("first_service", Date),
    Column("outcome", String(32), nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("due", Instant),
    Column("replaced_by", String(64)),
    # A hash index takes a value of any length.
    Index(None, "member", postgresql_using="hash"),
    Index(None, "outcome", "due"),
)

case_names = Table(
    "case_names",
    metadata,
    _position(),
    Column("lookup", String(64), nullable=False, index=True),
    _case(),
    UniqueConstraint("case_id", "lookup"),
)

changed_requests = Table(
    "changed_requests",
    metadata,
    _case(key=True),
    Column("revision", Integer, nullable=False, primary_key=True, autoincrement=False),
    Column("request", LargeBinary, nullable=False),
)

events = Table(
    "events",
    metadata,
    _position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    _case(),
    Column("at", Instant, nullable=False),
    # When the outbox made it the next event of those who asked for it.
    Column("spread_at", Instant),
    Index(None, "case_id"),
    Index(None, "spread_at", "position"),
)

attachments = Table(
    "attachments",
    metadata,
    _position(),
    Column("id", String(64), nullable=False, unique=True),
    _case(),
    Column("control_number", Received, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index(None, "case_id"),
)

submissions = Table(
    "submissions",
    metadata,
    _position(),
    Column("client", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    _case(),
    Column("request", LargeBinary, nullable=False),
    Column("reply_status", Integer, nullable=False),
    Column("reply_body", LargeBinary, nullable=False),
    UniqueConstraint("client", "content_hash"),
    Index(None, "case_id"),
)

authorizations = Table(
    "authorizations",
    metadata,
    _position(),
    Column("number", Text, nullable=False, index=True),
    Column("policy_id", Text, nullable=False),
    Column("member", Received, nullable=False),
    Column("start_date", Date, nullable=False),
    Column("end_date", Date, nullable=False),
    _case(),
    Index(None, "member", postgresql_using="hash"),
)

audit = Table(
    "audit",
    metadata,
    _case(key=True),
    Column("sequence", Integer, nullable=False, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("document", Text, nullable=False),
    Column("previous_hash", String(71), nullable=False),
    Column("hash", String(71), nullable=False),
    CheckConstraint("sequence > 0", name="sequence"),
)
assertions = Table(
    "assertions",
    metadata,
    _position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("lookup", String(64), nullable=False),
    # By client, content and coverage: an order that has another id by now. None: what is asked for was not said.
    Column("alike", String(64)),
    Column("client", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("document", Text, nullable=False),
    Index(None, "lookup", "made_at"),
    Index(None, "alike", "made_at"),
)

feedback = Table(
    "feedback",
    metadata,
    _position(),
    Column("client", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("feedback", LargeBinary, nullable=False),
)

exchanges = Table(
    "exchanges",
    metadata,
    _position(),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("requested_at", Instant, nullable=False, index=True),
    Column("answered_at", Instant, nullable=False),
    Column("status", Integer, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
)

used_tokens = Table(
    "used_tokens",
    metadata,
    Column("lookup", String(64), primary_key=True),
    Column("expires", Instant, nullable=False, index=True),
)

access_tokens = Table(
    "access_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("client", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("expires", Instant, nullable=False, index=True),
)
