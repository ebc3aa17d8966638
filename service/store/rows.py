"""The SQL of each Store method, inside a transaction that the caller has opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, Table, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.ports import Acceptance, Assertion, Exchange, StoredReply
from service.store.audit import AuditEntry, next_entry
from service.store.codec import read_assertion, read_case, write_assertion, write_case
from service.store.tables import (
    access_tokens,
    assertions,
    audit,
    authorizations,
    cases,
    exchanges,
    feedback,
    lookup_key,
    submissions,
    used_tokens,
)


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token of ours, by the digest of its text."""

    digest: str
    client: ClientId
    scopes: frozenset[str]
    expires: datetime


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts unless a unique constraint says it is there; waits for others who insert the same at this moment."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(table).values(**values).on_conflict_do_nothing().returning(*table.primary_key.columns)
    return connection.execute(statement).first() is not None


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
    connection.execute(insert(cases).values(**_case_row(acceptance)))
    granted = [_authorization_row(accepted.id, authorization) for authorization in accepted.authorizations()]
    if granted:
        connection.execute(insert(authorizations), granted)
    _append(connection, next_entry(None, accepted.id, accepted.decided_at, acceptance.audit))
    return reply


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


def authorizations_of(connection: Connection, member: MemberId, policy_id: str) -> Sequence[Authorization]:
    found = connection.execute(
        select(authorizations)
        .where(authorizations.c.member == member, authorizations.c.policy_id == policy_id)
        .order_by(authorizations.c.end_date.desc(), authorizations.c.position.desc())
    )
    return [
        Authorization(row.number, row.policy_id, member, DatePeriod(row.start_date, row.end_date)) for row in found
    ]


def audit_of(connection: Connection, case_id: CaseId) -> Sequence[AuditEntry]:
    found = connection.execute(select(audit).where(audit.c.case_id == case_id).order_by(audit.c.sequence))
    return [
        AuditEntry(CaseId(row.case_id), row.sequence, row.at, row.document, row.previous_hash, row.hash)
        for row in found
    ]


def assertion_key(client: ClientId, order_key: str, coverage_key: str) -> str:
    return lookup_key(client, order_key, coverage_key)


def save_assertions(connection: Connection, made: Sequence[Assertion]) -> None:
    """What is said again under an id replaces what was said before; an id stays with its order and coverage."""
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    for assertion in sorted(made, key=lambda assertion: assertion.id):
        added = dialect.insert(assertions).values(
            id=assertion.id,
            lookup=assertion_key(assertion.client, assertion.order_key, assertion.coverage_key),
            client=assertion.client,
            made_at=assertion.made_at,
            document=write_assertion(assertion),
        )
        said_again = added.on_conflict_do_update(
            index_elements=[assertions.c.id],
            set_={"made_at": added.excluded.made_at, "document": added.excluded.document},
            where=assertions.c.lookup == added.excluded.lookup,
        )
        if connection.execute(said_again.returning(assertions.c.id)).first() is None:
            raise ValueError("an assertion id belongs to one order and coverage")


def assertion(connection: Connection, assertion_id: str) -> Assertion | None:
    text = connection.execute(select(assertions.c.document).where(assertions.c.id == assertion_id)).scalar()
    return None if text is None else read_assertion(text)


def assertion_for(connection: Connection, key: str) -> Assertion | None:
    newest = (
        select(assertions.c.document)
        .where(assertions.c.lookup == key)
        .order_by(assertions.c.made_at.desc(), assertions.c.position.desc())
        .limit(1)
    )
    text = connection.execute(newest).scalar()
    return None if text is None else read_assertion(text)


def save_feedback(connection: Connection, row: Mapping[str, Any]) -> None:
    connection.execute(insert(feedback).values(**row))


def save_exchange(connection: Connection, exchange: Exchange) -> None:
    connection.execute(
        insert(exchanges).values(
            id=exchange.id,
            kind=exchange.kind,
            client=exchange.client,
            requested_at=exchange.requested_at,
            answered_at=exchange.answered_at,
            status=exchange.status,
            request=exchange.request,
            response=exchange.response,
        )
    )


def use_key(issuer: str, token_id: str, context: str) -> str:
    return lookup_key(issuer, token_id, context)


def first_use(connection: Connection, key: str, expires: datetime, now: datetime) -> bool:
    _purge(connection, used_tokens, now)
    return insert_once(connection, used_tokens, {"lookup": key, "expires": expires})


def save_access_token(connection: Connection, token: IssuedToken, now: datetime) -> None:
    _purge(connection, access_tokens, now)
    scopes = " ".join(sorted(token.scopes))
    connection.execute(
        insert(access_tokens).values(digest=token.digest, client=token.client, scopes=scopes, expires=token.expires)
    )


def access_token(connection: Connection, digest: str) -> tuple[ClientId, frozenset[str], datetime] | None:
    row = connection.execute(select(access_tokens).where(access_tokens.c.digest == digest)).first()
    return None if row is None else (ClientId(row.client), frozenset(row.scopes.split()), row.expires)


def _purge(connection: Connection, table: Table, now: datetime) -> None:
    key = table.primary_key.columns[0]
    # Rows that another transaction is purging at this moment are skipped: two that wait for each other deadlock.
    expired = select(key).where(table.c.expires < now).with_for_update(skip_locked=True)
    connection.execute(delete(table).where(key.in_(expired)))


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


def _case_row(acceptance: Acceptance) -> dict[str, Any]:
    accepted = acceptance.case
    return {
        "id": accepted.id,
        "client": accepted.client,
        "member": accepted.member,
        "first_service": accepted.first_service,
        "outcome": accepted.outcome.value,
        "received_at": accepted.received_at,
        "content_hash": acceptance.content_hash,
        "document": write_case(accepted),
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
    joined = cases.join(submissions, submissions.c.case_id == cases.c.id)
    return select(cases.c.document, submissions.c.request).select_from(joined)


def _case_and_request(row: Row[Any]) -> tuple[Case, bytes]:
    return read_case(row.document), row.request
