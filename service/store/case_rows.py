"""The SQL of cases: accepted, changed, found again. Inside a transaction that the caller has opened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from service.errors import Conflict
from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.policy.decision import Outcome
from service.ports import Acceptance, Attachment, AuditEntry, CaseChange, Event, StoredReply
from service.store.audit import holds, next_entry
from service.store.changes import changed_case, claim_names, names_of, number_name, trace_name
from service.store.codec import read_case, write_case
from service.store.kept import KEPT, is_as_vouched, kept
from service.store.rows import insert_once
from service.store.tables import (
    attachments,
    audit,
    authorizations,
    case_names,
    cases,
    changed_requests,
    events,
    submissions,
)


def reply_to(connection: Connection, client: ClientId, content_hash: str) -> StoredReply | None:
    row = connection.execute(
        select(submissions.c.case_id, submissions.c.reply_status, submissions.c.reply_body).where(
            submissions.c.client == client, submissions.c.content_hash == content_hash
        )
    ).first()
    return None if row is None else StoredReply(CaseId(row.case_id), row.reply_status, row.reply_body)


def accept(connection: Connection, acceptance: Acceptance) -> StoredReply:
    accepted, reply = acceptance.case, acceptance.reply
    if reply.case_id != accepted.id:
        raise ValueError("a reply tells of the case that it is stored with")
    claim = {
        "client": accepted.client,
        "content_hash": acceptance.content_hash,
        "case_id": accepted.id,
        "request": acceptance.request,
        "reply_status": reply.status,
        "reply_body": reply.body,
    }
    if not insert_once(connection, submissions, claim):
        first = reply_to(connection, accepted.client, acceptance.content_hash)
        if first is None:
            raise ValueError("a submission was refused as known and is not there")
        return first
    if acceptance.replaced is not None:
        save(connection, acceptance.replaced, accepted.decided_at)
    row = {
        "id": accepted.id,
        "client": accepted.client,
        "first_service": accepted.first_service,
        "received_at": accepted.received_at,
        "content_hash": acceptance.content_hash,
    }
    connection.execute(insert(cases).values(**row, **_changing(accepted)))
    _index(connection, accepted)
    vouched = {**acceptance.audit, KEPT: kept(connection, accepted.id)}
    _append(connection, next_entry(None, accepted.id, accepted.decided_at, vouched))
    _save_events(connection, acceptance.events)
    return reply


def save(connection: Connection, change: CaseChange, at: datetime) -> Case:
    """`at` is the audit entry's instant."""
    case_id = change.case.id
    # The update locks the row, so that nobody else appends to the trail while its last entry is read.
    changed = changed_case(change)
    held = update(cases).where(cases.c.id == case_id, cases.c.revision == change.expected)
    if connection.execute(held.values(**_changing(changed))).rowcount != 1:
        raise Conflict("The case has been changed by somebody else since it was read. Read it again.")
    connection.execute(delete(authorizations).where(authorizations.c.case_id == case_id))
    _index(connection, changed)
    if change.request is not None:
        row = {"case_id": case_id, "revision": changed.revision, "request": change.request}
        connection.execute(insert(changed_requests).values(**row))
    trail = audit_of(connection, case_id)
    vouched = {**change.audit, KEPT: kept(connection, case_id)}
    _append(connection, next_entry(trail[-1] if trail else None, case_id, at, vouched))
    _save_events(connection, change.events)
    return changed


def case(connection: Connection, case_id: CaseId) -> tuple[Case, bytes] | None:
    row = connection.execute(_cases_with_requests().where(cases.c.id == case_id)).first()
    return None if row is None else _case_and_request(row)


def cases_of(connection: Connection, member: MemberId) -> Sequence[tuple[Case, bytes]]:
    newest_first = (
        _cases_with_requests()
        .where(cases.c.member == member)
        .order_by(cases.c.received_at.desc(), cases.c.position.desc())
    )
    return [_case_and_request(row) for row in connection.execute(newest_first)]


def requests_of(connection: Connection, case_id: CaseId) -> Sequence[bytes]:
    first = select(submissions.c.request).where(submissions.c.case_id == case_id)
    later = (
        select(changed_requests.c.request)
        .where(changed_requests.c.case_id == case_id)
        .order_by(changed_requests.c.revision)
    )
    return [*connection.execute(first).scalars(), *connection.execute(later).scalars()]


def open_cases(connection: Connection) -> Sequence[Case]:
    waiting = (
        select(cases.c.document)
        .where(cases.c.outcome == Outcome.PENDED.value, cases.c.replaced_by.is_(None))
        .order_by(cases.c.due.is_(None), cases.c.due, cases.c.position)
    )
    return [read_case(text) for text in connection.execute(waiting).scalars()]


def cases_received(connection: Connection, start: datetime, end: datetime) -> Sequence[Case]:
    received = (
        select(cases.c.document)
        .where(cases.c.received_at >= start, cases.c.received_at < end)
        .order_by(cases.c.received_at, cases.c.position)
    )
    return [read_case(text) for text in connection.execute(received).scalars()]


def case_by_number(connection: Connection, number: str) -> Case | None:
    return _newest_named(connection, number_name(number))


def case_by_trace(connection: Connection, client: ClientId, trace: str) -> Case | None:
    return _newest_named(connection, trace_name(client, trace))


def case_for_claim(
    connection: Connection, client: ClientId, full_url: str, identifiers: Sequence[str]
) -> Case | None:
    for name in claim_names(client, full_url, identifiers):
        found = _newest_named(connection, name)
        if found is not None:
            return found
    return None


def attach(connection: Connection, attachment: Attachment) -> None:
    connection.execute(
        insert(attachments).values(
            id=attachment.id,
            case_id=attachment.case_id,
            control_number=attachment.control_number,
            sequence=attachment.sequence,
            received_at=attachment.received_at,
            content=attachment.content,
        )
    )


def attachments_of(connection: Connection, case_id: CaseId) -> Sequence[Attachment]:
    found = select(attachments).where(attachments.c.case_id == case_id).order_by(attachments.c.position)
    return [
        Attachment(row.id, CaseId(row.case_id), row.control_number, row.sequence, row.received_at, row.content)
        for row in connection.execute(found)
    ]


def audit_of(connection: Connection, case_id: CaseId) -> Sequence[AuditEntry]:
    found = connection.execute(select(audit).where(audit.c.case_id == case_id).order_by(audit.c.sequence))
    return [
        AuditEntry(CaseId(row.case_id), row.sequence, row.at, row.document, row.previous_hash, row.hash)
        for row in found
    ]


def verify(connection: Connection, case_id: CaseId) -> bool:
    """Whether the trail is whole, and all that is stored of the case is what its last entry vouches for."""
    entries = audit_of(connection, case_id)
    return holds(entries) and is_as_vouched(entries, kept(connection, case_id))


def _newest_named(connection: Connection, name: str) -> Case | None:
    """The newest case of that name, or the one that has replaced it."""
    newest = (
        select(case_names.c.case_id)
        .join(cases)
        .where(case_names.c.lookup == name)
        .order_by(cases.c.position.desc())
        .limit(1)
    )
    case_id = connection.execute(newest).scalar()
    while case_id is not None:
        found = read_case(connection.execute(select(cases.c.document).where(cases.c.id == case_id)).scalar_one())
        if found.replaced_by is None:
            return found
        case_id = found.replaced_by
    return None


def _index(connection: Connection, indexed: Case) -> None:
    granted = [_authorization_row(indexed.id, authorization) for authorization in indexed.authorizations()]
    if granted:
        connection.execute(insert(authorizations), granted)
    for name in names_of(indexed):
        insert_once(connection, case_names, {"lookup": name, "case_id": indexed.id})


def _save_events(connection: Connection, made: Sequence[Event]) -> None:
    if made:
        rows = [{"id": e.id, "kind": e.kind, "case_id": e.case_id, "at": e.at} for e in made]
        connection.execute(insert(events), rows)


def _append(connection: Connection, entry: AuditEntry) -> None:
    connection.execute(
        insert(audit).values(
            case_id=entry.case_id,
            sequence=entry.sequence,
            at=entry.at,
            document=entry.document,
            previous_hash=entry.previous,
            hash=entry.hash,
        )
    )


def _changing(changed: Case) -> dict[str, Any]:
    """Columns that follow the document."""
    return {
        "member": changed.member,
        "outcome": changed.outcome.value,
        "revision": changed.revision,
        "due": changed.due,
        "replaced_by": changed.replaced_by,
        "document": write_case(changed),
    }


def _authorization_row(case_id: CaseId, authorization: Authorization) -> dict[str, Any]:
    return {
        "number": authorization.number,
        "policy_id": authorization.policy_id,
        "member": authorization.member,
        "start_date": authorization.period.start,
        "end_date": authorization.period.end,
        "case_id": case_id,
    }


def _cases_with_requests() -> Select[Any]:
    newest = (
        select(changed_requests.c.request)
        .where(changed_requests.c.case_id == cases.c.id)
        .order_by(changed_requests.c.revision.desc())
        .limit(1)
        .scalar_subquery()
    )
    joined = cases.join(submissions, submissions.c.case_id == cases.c.id)
    return select(cases.c.document, func.coalesce(newest, submissions.c.request).label("request")).select_from(joined)


def _case_and_request(row: Row[Any]) -> tuple[Case, bytes]:
    return read_case(row.document), bytes(row.request)
