"""The first tables. Audit entries can be added and never changed or removed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Creates everything; see tables.py for what each column is for."""
    _create_cases()
    _create_audit()
    _create_assertions()
    _create_logs()
    _create_tokens()


def downgrade() -> None:
    """There is no way back: it would drop accepted requests. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")


def _position() -> sa.Column[int]:
    return sa.Column("position", _POSITION, primary_key=True, autoincrement=True)


def _case(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return sa.Column("case_id", sa.String(64), nullable=False), sa.ForeignKeyConstraint(
        ["case_id"], ["cases.id"], name=f"fk_{table}_case_id", deferrable=True, initially="DEFERRED"
    )


def _create_cases() -> None:
    op.create_table(
        "cases",
        _position(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("member", sa.Text),
        sa.Column("first_service", sa.Date),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_cases"),
        sa.UniqueConstraint("id", name="uq_cases_id"),
    )
    op.create_index("ix_cases_member", "cases", ["member"], postgresql_using="hash")
    op.create_table(
        "submissions",
        _position(),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        *_case("submissions"),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("reply_status", sa.Integer, nullable=False),
        sa.Column("reply_body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_submissions"),
        sa.UniqueConstraint("client", "content_hash", name="uq_submissions_client_content_hash"),
    )
    op.create_index("ix_submissions_case_id", "submissions", ["case_id"])
    op.create_table(
        "authorizations",
        _position(),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("member", sa.Text, nullable=False),
        sa.Column("start_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date, nullable=False),
        *_case("authorizations"),
        sa.PrimaryKeyConstraint("position", name="pk_authorizations"),
    )
    op.create_index("ix_authorizations_number", "authorizations", ["number"])
    op.create_index("ix_authorizations_member", "authorizations", ["member"], postgresql_using="hash")


def _create_audit() -> None:
    op.create_table(
        "audit",
        *_case("audit"),
        sa.Column("sequence", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.String(71), nullable=False),
        sa.Column("hash", sa.String(71), nullable=False),
        sa.PrimaryKeyConstraint("case_id", "sequence", name="pk_audit"),
        sa.CheckConstraint("sequence > 0", name="ck_audit_sequence"),
    )
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{change.lower()} BEFORE {change} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'audit entries are never changed'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_unchanged() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'audit entries are never changed'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_unchanged()"
    )


def _create_assertions() -> None:
    op.create_table(
        "assertions",
        _position(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("lookup", sa.String(64), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("made_at", _INSTANT, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_assertions"),
        sa.UniqueConstraint("id", name="uq_assertions_id"),
    )
    op.create_index("ix_assertions_lookup_made_at", "assertions", ["lookup", "made_at"])


def _create_logs() -> None:
    op.create_table(
        "feedback",
        _position(),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("at", _INSTANT, nullable=False),
        sa.Column("feedback", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_feedback"),
    )
    op.create_table(
        "exchanges",
        _position(),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("requested_at", _INSTANT, nullable=False),
        sa.Column("answered_at", _INSTANT, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.Column("response", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_exchanges"),
        sa.UniqueConstraint("id", name="uq_exchanges_id"),
    )
    op.create_index("ix_exchanges_requested_at", "exchanges", ["requested_at"])


def _create_tokens() -> None:
    op.create_table(
        "used_tokens",
        sa.Column("lookup", sa.String(64), nullable=False),
        sa.Column("expires", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("lookup", name="pk_used_tokens"),
    )
    op.create_index("ix_used_tokens_expires", "used_tokens", ["expires"])
    op.create_table(
        "access_tokens",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("expires", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_access_tokens"),
    )
    op.create_index("ix_access_tokens_expires", "access_tokens", ["expires"])
