"""Cases that change: revisions, names to find them by, later requests, events, attachments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from service.store.tables import lookup_key

revision = "0005"
down_revision = "0002"
branch_labels = None
depends_on = None

_POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """See tables.py for what each column is for."""
    op.add_column("cases", sa.Column("revision", sa.Integer, nullable=False, server_default="1"))
    op.add_column("cases", sa.Column("due", _INSTANT))
    op.add_column("cases", sa.Column("replaced_by", sa.String(64)))
    op.create_index("ix_cases_outcome_due", "cases", ["outcome", "due"])
    _create_names()
    op.create_table(
        "changed_requests",
        *_case("changed_requests"),
        sa.Column("revision", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("request", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("case_id", "revision", name="pk_changed_requests"),
    )
    op.create_table(
        "events",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        *_case("events"),
        sa.Column("at", _INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_events"),
        sa.UniqueConstraint("id", name="uq_events_id"),
    )
    op.create_index("ix_events_case_id", "events", ["case_id"])
    op.create_table(
        "attachments",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False),
        *_case("attachments"),
        sa.Column("control_number", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("received_at", _INSTANT, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_attachments"),
        sa.UniqueConstraint("id", name="uq_attachments_id"),
    )
    op.create_index("ix_attachments_case_id", "attachments", ["case_id"])
    _name_older_cases()


def downgrade() -> None:
    """There is no way back: it would drop what arrived. Restore a backup instead."""
    raise NotImplementedError("restore a backup to go back to an older schema")


def _case(table: str) -> tuple[sa.Column[str], sa.ForeignKeyConstraint]:
    return sa.Column("case_id", sa.String(64), nullable=False), sa.ForeignKeyConstraint(
        ["case_id"], ["cases.id"], name=f"fk_{table}_case_id", deferrable=True, initially="DEFERRED"
    )


def _create_names() -> None:
    op.create_table(
        "case_names",
        sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
        sa.Column("lookup", sa.String(64), nullable=False),
        *_case("case_names"),
        sa.PrimaryKeyConstraint("position", name="pk_case_names"),
        sa.UniqueConstraint("case_id", "lookup", name="uq_case_names_case_id_lookup"),
    )
    op.create_index("ix_case_names_lookup", "case_names", ["lookup"])


def _name_older_cases() -> None:
    """Cases accepted before this change can be asked for by their numbers and updated by their Claims, too."""
    stored = op.get_bind().execute(
        sa.text(
            "SELECT cases.id, cases.document, submissions.request FROM cases "
            "JOIN submissions ON submissions.case_id = cases.id ORDER BY cases.position"
        )
    )
    for case_id, document, request in stored.all():
        names = {lookup_key(*parts) for parts in _names(json.loads(document), bytes(request))}
        for name in sorted(names):
            op.get_bind().execute(
                sa.text("INSERT INTO case_names (lookup, case_id) VALUES (:name, :case_id)"),
                {"name": name, "case_id": case_id},
            )


def _names(case: Any, request: bytes) -> Iterator[tuple[str, ...]]:
    for line in case["lines"]:
        yield from (("number", line[key]) for key in ("authorizationNumber", "referenceNumber") if line[key])
    for identifier in case["claimIdentifiers"]:
        yield "claim-identifier", case["client"], identifier
    url = _claim_url(request)
    if url:
        yield "claim-url", case["client"], url


def _claim_url(request: bytes) -> str | None:
    """The fullUrl of the first entry. A request that cannot be read here is only not found by it."""
    try:
        sent = json.loads(request)
        if sent["resourceType"] == "Parameters":
            sent = next(p["resource"] for p in sent["parameter"] if p.get("name") == "resource")
        url = sent["entry"][0]["fullUrl"]
    except (ValueError, KeyError, IndexError, TypeError, StopIteration, RecursionError):
        return None
    return url if isinstance(url, str) else None
