"""What is stored of a case is what its audit trail vouches for; anything else is told, whichever row it is in."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.fhir.json import decode, encode
from service.policy.case import Case
from service.ports import Attachment, CaseChange
from service.store.audit import next_entry
from service.store.kept import KEPT
from service.store.sql import SqlStore
from service.store.tables import attachments, audit, authorizations, cases, changed_requests, submissions
from tests.contract.cases import NOW, acceptance, approved_line, case

APPROVED = case(1, approved_line(date(2026, 12, 4), "PA-1"))
DOCUMENT = Attachment("a" * 64, APPROVED.id, "C-1", 1, NOW, b"%PDF")
ROWS = {
    "cases": cases,
    "submissions": submissions,
    "changed_requests": changed_requests,
    "authorizations": authorizations,
    "attachments": attachments,
}
# Every column that is no key, with a value that differs from what is stored.
CHANGED: list[tuple[str, str, Any]] = [
    ("cases", "client", "somebody-else"),
    ("cases", "member", "M-2"),
    ("cases", "first_service", date(2026, 12, 5)),
    ("cases", "outcome", "denied"),
    ("cases", "received_at", NOW - timedelta(seconds=1)),
    ("cases", "content_hash", "sha256:2"),
    ("cases", "revision", 7),
    ("cases", "due", NOW),
    ("cases", "replaced_by", "other"),
    ("submissions", "client", "somebody-else"),
    ("submissions", "content_hash", "sha256:2"),
    ("submissions", "reply_status", 500),
    ("changed_requests", "revision", 9),
    ("authorizations", "number", "PA-2"),
    ("authorizations", "policy_id", "policy-2"),
    ("authorizations", "member", "M-2"),
    ("authorizations", "start_date", date(2026, 12, 3)),
    ("authorizations", "end_date", date(2099, 12, 3)),
    ("attachments", "control_number", "C-2"),
    ("attachments", "sequence", 2),
    ("attachments", "received_at", NOW + timedelta(seconds=1)),
]
BYTES = [
    ("cases", "document"),
    ("submissions", "request"),
    ("submissions", "reply_body"),
    ("changed_requests", "request"),
    ("attachments", "content"),
]


@pytest.fixture
async def stored(sql: SqlStore) -> Case:
    """A case with everything: a request, an answer, a changed request, an authorization, a document."""
    await sql.accept(acceptance(APPROVED))
    await sql.attach(DOCUMENT)
    saved = await sql.save(CaseChange(APPROVED, 1, {"kind": "note"}, request=b'{"changed": true}'))
    assert await sql.verify_audit(saved.id)
    return saved


def change(sql: SqlStore, statement: sa.Executable) -> None:
    with sql._writing_engine.begin() as connection:
        connection.execute(statement)


def open_trail(sql: SqlStore) -> None:
    """The database's own guard taken away, as somebody with its password could."""
    with sql._writing_engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            connection.execute(sa.text("DROP TRIGGER audit_no_update"))
            connection.execute(sa.text("DROP TRIGGER audit_no_delete"))
        else:
            connection.execute(sa.text("DROP TRIGGER audit_no_change ON audit"))


@pytest.mark.parametrize(("table", "column", "value"), CHANGED)
async def test_another_value_in_any_column_is_told(
    sql: SqlStore, stored: Case, table: str, column: str, value: Any
) -> None:
    change(sql, sa.update(ROWS[table]).values({column: value}))
    assert not await sql.verify_audit(stored.id)


@pytest.mark.parametrize(("table", "column"), BYTES)
async def test_one_byte_of_what_is_kept_is_told(sql: SqlStore, stored: Case, table: str, column: str) -> None:
    with sql._engine.connect() as connection:
        content = connection.execute(sa.select(ROWS[table].c[column])).scalar_one()
    middle = len(content) // 2
    other = b"7" if isinstance(content, bytes) else "7"
    change(sql, sa.update(ROWS[table]).values({column: content[:middle] + other + content[middle + 1 :]}))
    assert not await sql.verify_audit(stored.id)


@pytest.mark.parametrize("table", ["submissions", "changed_requests", "authorizations", "attachments"])
async def test_a_row_taken_away_is_told(sql: SqlStore, stored: Case, table: str) -> None:
    change(sql, sa.delete(ROWS[table]))
    assert not await sql.verify_audit(stored.id)


async def test_an_authorization_put_in_is_told(sql: SqlStore, stored: Case) -> None:
    day = date(2030, 1, 1)
    row = {"number": "PA-9", "policy_id": "p", "member": "M-1", "start_date": day, "end_date": day}
    change(sql, sa.insert(authorizations).values(case_id=stored.id, **row))
    assert not await sql.verify_audit(stored.id)


async def test_a_trail_without_its_end_is_told(sql: SqlStore, stored: Case) -> None:
    open_trail(sql)
    change(sql, sa.delete(audit).where(audit.c.sequence == 2))
    assert not await sql.verify_audit(stored.id)


async def test_a_document_whose_entry_is_still_to_come_is_no_fault(sql: SqlStore, stored: Case) -> None:
    await sql.attach(Attachment("b" * 64, stored.id, "C-1", 1, NOW, b"%PDF"))
    assert await sql.verify_audit(stored.id)


async def test_a_trail_of_before_vouches_for_itself_only(sql: SqlStore, stored: Case) -> None:
    """Entries written by earlier versions carry no digests of what is stored beside them."""
    before = None
    open_trail(sql)
    for entry in await sql.audit(stored.id):
        document = decode(entry.document.encode(), max_bytes=10**6, max_depth=50)
        del document[KEPT]
        before = next_entry(before, stored.id, entry.at, document)
        written = {"document": encode(document).decode(), "previous_hash": before.previous, "hash": before.hash}
        change(sql, sa.update(audit).where(audit.c.sequence == entry.sequence).values(written))
    change(sql, sa.update(cases).values(outcome="denied"))
    assert await sql.verify_audit(stored.id)
