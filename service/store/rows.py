"""The SQL of what is kept beside cases, inside a transaction that the caller has opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, delete, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from service.policy.case import Authorization, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.ports import Assertion, Exchange
from service.store.changes import ALIKE_LIMIT
from service.store.codec import read_assertion, write_assertion
from service.store.tables import (
    access_tokens,
    assertions,
    authorizations,
    exchanges,
    feedback,
    lookup_key,
    used_tokens,
)

# What a hook asks and writes is made once: to put a statement together takes several times as long as to run it.
_AUTHORIZATIONS: Final = (
    select(authorizations)
    .where(authorizations.c.member == bindparam("member"), authorizations.c.policy_id == bindparam("policy_id"))
    .order_by(authorizations.c.end_date.desc(), authorizations.c.position.desc())
)
_ASSERTION: Final = select(assertions.c.document).where(assertions.c.id == bindparam("assertion_id"))
_NEWEST: Final = select(assertions.c.document).order_by(assertions.c.made_at.desc(), assertions.c.position.desc())
_ASSERTION_FOR: Final = _NEWEST.where(assertions.c.lookup == bindparam("key")).limit(1)
_ALIKE: Final = _NEWEST.where(
    assertions.c.alike == bindparam("key"), assertions.c.made_at >= bindparam("since")
).limit(ALIKE_LIMIT)


def _said_again(insert_into: Callable[[Table], Any]) -> ReturningInsert[tuple[str]]:
    """What is said again under an id replaces what was said before; an id stays with its order and coverage."""
    added = insert_into(assertions)
    said_again: ReturningInsert[tuple[str]] = added.on_conflict_do_update(
        index_elements=[assertions.c.id],
        set_={name: added.excluded[name] for name in ("alike", "made_at", "document")},
        where=assertions.c.lookup == added.excluded.lookup,
    ).returning(assertions.c.id)
    return said_again


_SAID_AGAIN: Final = {"sqlite": _said_again(sqlite.insert), "postgresql": _said_again(postgresql.insert)}


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """An access token of ours, by the digest of its text."""

    digest: str
    client: ClientId
    scopes: frozenset[str]
    expires: datetime


def insert_once(connection: Connection, table: Table, values: Mapping[str, Any]) -> bool:
    """Inserts unless a unique constraint says it is there; waits for others who insert the same at this moment."""
    return connection.execute(_once(connection.dialect.name, table), values).first() is not None


@cache
def _once(dialect: str, table: Table) -> ReturningInsert[Any]:
    added = (sqlite if dialect == "sqlite" else postgresql).insert(table)
    once: ReturningInsert[Any] = added.on_conflict_do_nothing().returning(*table.primary_key.columns)
    return once


def authorizations_of(connection: Connection, member: MemberId, policy_id: str) -> Sequence[Authorization]:
    found = connection.execute(_AUTHORIZATIONS, {"member": member, "policy_id": policy_id})
    return [
        Authorization(row.number, row.policy_id, member, DatePeriod(row.start_date, row.end_date)) for row in found
    ]


def assertion_key(client: ClientId, order_key: str, coverage_key: str) -> str:
    return lookup_key(client, order_key, coverage_key)


def alike_key(client: ClientId, content_key: str, coverage_key: str) -> str | None:
    """None where the order did not say what it asks for: such orders are not alike."""
    return lookup_key("alike", client, content_key, coverage_key) if content_key else None


def save_assertions(connection: Connection, made: Sequence[Assertion]) -> None:
    """What is said again under an id replaces what was said before; an id stays with its order and coverage."""
    said_again = _SAID_AGAIN[connection.dialect.name]
    for assertion in sorted(made, key=lambda assertion: assertion.id):
        row = {
            "id": assertion.id,
            "lookup": assertion_key(assertion.client, assertion.order_key, assertion.coverage_key),
            "alike": alike_key(assertion.client, assertion.content_key, assertion.coverage_key),
            "client": assertion.client,
            "made_at": assertion.made_at,
            "document": write_assertion(assertion),
        }
        if connection.execute(said_again, row).first() is None:
            raise ValueError("an assertion id belongs to one order and coverage")


def assertion(connection: Connection, assertion_id: str) -> Assertion | None:
    if "\x00" in assertion_id:
        # PostgreSQL takes no U+0000, and no id of ours has one.
        return None
    text = connection.execute(_ASSERTION, {"assertion_id": assertion_id}).scalar()
    return None if text is None else read_assertion(text)


def assertion_for(connection: Connection, key: str) -> Assertion | None:
    text = connection.execute(_ASSERTION_FOR, {"key": key}).scalar()
    return None if text is None else read_assertion(text)


def assertions_alike(connection: Connection, key: str | None, since: datetime) -> Sequence[Assertion]:
    if key is None:
        return []
    return [read_assertion(text) for text in connection.execute(_ALIKE, {"key": key, "since": since}).scalars()]


def save_feedback(connection: Connection, row: Mapping[str, Any]) -> None:
    connection.execute(insert(feedback).values(**row))


def save_exchanges(connection: Connection, kept: Sequence[Exchange]) -> None:
    for exchange in kept:
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
