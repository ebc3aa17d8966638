"""Reviewers' accounts, sessions and sign-in attempts: their tables and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Index, String, Table, Text, delete, func, insert, select, update

from service.policy.decision import Clinician
from service.policy.reviewer import Account, Person, Role, Session
from service.store.members import Transactions
from service.store.rows import insert_once
from service.store.tables import Instant, lookup_key, metadata

reviewers = Table(
    "reviewers",
    metadata,
    Column("login", String(64), primary_key=True),
    Column("name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("npi", String(10)),
    Column("specialty", String(10)),
    Column("password_hash", Text, nullable=False),
    Column("disabled_at", Instant),
)

review_sessions = Table(
    "review_sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("login", String(64), nullable=False, index=True),
    Column("opened_at", Instant, nullable=False, index=True),
    Column("seen_at", Instant, nullable=False),
)

sign_in_attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("subject", String(64), nullable=False),
    Column("at", Instant, nullable=False, index=True),
    Index(None, "subject", "at"),
)


class SqlReviewers:
    """The accounts, sessions and sign-in attempts of reviewers, in the database of the cases."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def save_account(self, account: Account) -> None:
        """Adds or replaces the account of that login, and ends its sessions."""
        await self._write(lambda connection: _save_account(connection, account))

    async def account(self, login: str) -> Account | None:
        question = select(reviewers).where(reviewers.c.login == login)
        row = await self._read(lambda connection: connection.execute(question).first())
        return None if row is None else _account(row)

    async def accounts(self) -> Sequence[Account]:
        """All accounts by login, disabled ones too."""
        question = select(reviewers).order_by(reviewers.c.login)
        return [_account(row) for row in await self._read(lambda connection: connection.execute(question).all())]

    async def open_session(self, session: Session, *, before: datetime) -> None:
        """Remembers a session, and forgets those opened earlier than `before`."""

        def work(connection: Connection) -> None:
            connection.execute(delete(review_sessions).where(review_sessions.c.opened_at < before))
            connection.execute(
                insert(review_sessions).values(
                    digest=session.digest, login=session.login, opened_at=session.opened_at, seen_at=session.seen_at
                )
            )

        await self._write(work)

    async def session(self, digest: str) -> tuple[Session, Account] | None:
        """A session and its account; the caller judges whether they still hold."""
        joined = review_sessions.join(reviewers, reviewers.c.login == review_sessions.c.login)
        question = (
            select(reviewers, review_sessions.c.digest, review_sessions.c.opened_at, review_sessions.c.seen_at)
            .select_from(joined)
            .where(review_sessions.c.digest == digest)
        )
        row = await self._read(lambda connection: connection.execute(question).first())
        if row is None:
            return None
        return Session(row.digest, row.login, row.opened_at, row.seen_at), _account(row)

    async def touch_session(self, digest: str, at: datetime) -> None:
        change = update(review_sessions).where(review_sessions.c.digest == digest).values(seen_at=at)
        await self._write(lambda connection: connection.execute(change))

    async def close_session(self, digest: str) -> None:
        change = delete(review_sessions).where(review_sessions.c.digest == digest)
        await self._write(lambda connection: connection.execute(change))

    async def count_attempt(self, ids: Mapping[str, str], at: datetime, since: datetime) -> Mapping[str, int]:
        """Notes one attempt for each subject (`ids`: subject -> new id) and counts each one's since then, with it."""
        return await self._write(lambda connection: _count_attempt(connection, ids, at, since))

    async def forget_attempts(self, subject: str) -> None:
        change = delete(sign_in_attempts).where(sign_in_attempts.c.subject == lookup_key(subject))
        await self._write(lambda connection: connection.execute(change))


def _save_account(connection: Connection, account: Account) -> None:
    person, clinician = account.person, account.person.clinician
    values = {
        "name": person.name,
        "role": person.role.value,
        "npi": clinician.npi if clinician else None,
        "specialty": clinician.specialty if clinician else None,
        "password_hash": account.password_hash,
        "disabled_at": account.disabled_at,
    }
    if not insert_once(connection, reviewers, {"login": person.login, **values}):
        connection.execute(update(reviewers).where(reviewers.c.login == person.login).values(**values))
    connection.execute(delete(review_sessions).where(review_sessions.c.login == person.login))


def _count_attempt(
    connection: Connection, ids: Mapping[str, str], at: datetime, since: datetime
) -> Mapping[str, int]:
    connection.execute(delete(sign_in_attempts).where(sign_in_attempts.c.at < since))
    keys = {subject: lookup_key(subject) for subject in ids}
    connection.execute(
        insert(sign_in_attempts), [{"id": ids[subject], "subject": key, "at": at} for subject, key in keys.items()]
    )
    counted = connection.execute(
        select(sign_in_attempts.c.subject, func.count())
        .where(sign_in_attempts.c.subject.in_(keys.values()))
        .group_by(sign_in_attempts.c.subject)
    )
    found = {row[0]: row[1] for row in counted}
    return {subject: found[key] for subject, key in keys.items()}


def _account(row: Any) -> Account:
    clinician = Clinician(row.name, row.npi, row.specialty) if row.npi is not None else None
    return Account(Person(row.login, row.name, Role(row.role), clinician), row.password_hash, row.disabled_at)


class MemoryReviewers:
    """The same, forgotten when it is let go of."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._sessions: dict[str, Session] = {}
        self._attempts: list[tuple[str, datetime]] = []

    async def save_account(self, account: Account) -> None:
        self._accounts[account.person.login] = account
        login = account.person.login
        self._sessions = {key: held for key, held in self._sessions.items() if held.login != login}

    async def account(self, login: str) -> Account | None:
        return self._accounts.get(login)

    async def accounts(self) -> Sequence[Account]:
        return [self._accounts[login] for login in sorted(self._accounts)]

    async def open_session(self, session: Session, *, before: datetime) -> None:
        self._sessions = {key: held for key, held in self._sessions.items() if held.opened_at >= before}
        self._sessions[session.digest] = session

    async def session(self, digest: str) -> tuple[Session, Account] | None:
        held = self._sessions.get(digest)
        return None if held is None else (held, self._accounts[held.login])

    async def touch_session(self, digest: str, at: datetime) -> None:
        held = self._sessions.get(digest)
        if held is not None:
            self._sessions[digest] = Session(held.digest, held.login, held.opened_at, at)

    async def close_session(self, digest: str) -> None:
        self._sessions.pop(digest, None)

    async def count_attempt(self, ids: Mapping[str, str], at: datetime, since: datetime) -> Mapping[str, int]:
        self._attempts = [one for one in self._attempts if one[1] >= since] + [(subject, at) for subject in ids]
        return {subject: sum(one[0] == subject for one in self._attempts) for subject in ids}

    async def forget_attempts(self, subject: str) -> None:
        self._attempts = [one for one in self._attempts if one[0] != subject]
