"""The Store on SQLite and PostgreSQL. Every call is one transaction, run beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from service.errors import StoreFailed
from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.ports import (
    Acceptance,
    Assertion,
    Attachment,
    AuditEntry,
    CaseChange,
    Clock,
    Exchange,
    StoredReply,
    SystemClock,
)
from service.store import case_rows, rows
from service.store.app_sessions import SqlAppSessions
from service.store.calls import SqlCalls
from service.store.connect import WRITES, migrate, open_engine
from service.store.form_errors import SqlFormErrors
from service.store.members import SqlMembers
from service.store.outbox import SqlOutbox
from service.store.policy_revisions import SqlPolicyRevisions
from service.store.reviewers import SqlReviewers
from service.store.tables import cases

T = TypeVar("T")

_READERS: Final = 4
# SQLite has one writer at a time anyway: one thread queues them in order, without waiting on locks.
_WRITERS: Final = {"sqlite": 1, "postgresql": 8}


class SqlStore:
    """ports.Store, durable, and the access tokens. Several processes may open one database."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing_engine = engine.execution_options(**{WRITES: True})
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")
        self._writers = ThreadPoolExecutor(_WRITERS[engine.dialect.name], thread_name_prefix="store-write")
        self._clock = clock
        self._questions: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []

    async def close(self) -> None:
        """Finishes what has begun, then lets go of the database."""
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)
        self._engine.dispose()

    def members(self) -> SqlMembers:
        """The member directory in the same database."""
        return SqlMembers(self._read, self._write)

    def reviewers(self) -> SqlReviewers:
        """Reviewers' accounts and sessions in the same database."""
        return SqlReviewers(self._read, self._write)

    def outbox(self) -> SqlOutbox:
        """Subscriptions and notifications in the same database."""
        return SqlOutbox(self._read, self._write)

    def form_errors(self) -> SqlFormErrors:
        """What clients reported about our forms, in the same database."""
        return SqlFormErrors(self._read, self._write)

    def calls(self) -> SqlCalls:
        """The calls that are kept for disputes, to be found again."""
        return SqlCalls(self._read)

    def app_sessions(self) -> SqlAppSessions:
        """Sealed sessions of the SMART app, in the same database."""
        return SqlAppSessions(self._read, self._write)

    def policy_revisions(self) -> SqlPolicyRevisions:
        """The files of policy revisions, in the same database."""
        return SqlPolicyRevisions(self._read, self._write)

    async def ready(self) -> bool:
        """True when the database answers and has our tables."""
        try:
            await self._read(lambda connection: connection.execute(select(cases.c.position).limit(1)).first())
        except StoreFailed:
            return False
        return True

    async def reply_to(self, client: ClientId, content_hash: str) -> StoredReply | None:
        return await self._read(lambda connection: case_rows.reply_to(connection, client, content_hash))

    async def accept(self, acceptance: Acceptance) -> StoredReply:
        return await self._write(lambda connection: case_rows.accept(connection, acceptance))

    async def case(self, case_id: CaseId) -> tuple[Case, bytes] | None:
        return await self._read(lambda connection: case_rows.case(connection, case_id))

    async def cases_of(self, member: MemberId) -> Sequence[tuple[Case, bytes]]:
        return await self._read(lambda connection: case_rows.cases_of(connection, member))

    async def save(self, change: CaseChange) -> Case:
        at = self._clock.now()
        return await self._write(lambda connection: case_rows.save(connection, change, at))

    async def requests(self, case_id: CaseId) -> Sequence[bytes]:
        return await self._read(lambda connection: case_rows.requests_of(connection, case_id))

    async def open_cases(self) -> Sequence[Case]:
        return await self._read(case_rows.open_cases)

    async def cases_received(self, start: datetime, end: datetime) -> Sequence[Case]:
        return await self._read(lambda connection: case_rows.cases_received(connection, start, end))

    async def case_by_number(self, number: str) -> Case | None:
        return await self._read(lambda connection: case_rows.case_by_number(connection, number))

    async def case_by_trace(self, client: ClientId, trace: str) -> Case | None:
        return await self._read(lambda connection: case_rows.case_by_trace(connection, client, trace))

    async def case_for_claim(self, client: ClientId, full_url: str, identifiers: Sequence[str]) -> Case | None:
        return await self._read(
            lambda connection: case_rows.case_for_claim(connection, client, full_url, identifiers)
        )

    async def attach(self, attachment: Attachment) -> None:
        await self._write(lambda connection: case_rows.attach(connection, attachment))

    async def attachments(self, case_id: CaseId) -> Sequence[Attachment]:
        return await self._read(lambda connection: case_rows.attachments_of(connection, case_id))

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        return await self._look_up(lambda connection: rows.authorizations_of(connection, member, policy_id))

    async def audit(self, case_id: CaseId) -> Sequence[AuditEntry]:
        """What happened to a case, oldest first."""
        return await self._read(lambda connection: case_rows.audit_of(connection, case_id))

    async def verify_audit(self, case_id: CaseId) -> bool:
        """True when the case has an audit trail, and nothing of it or that it vouches for was changed or removed."""
        return await self._read(lambda connection: case_rows.verify(connection, case_id))

    async def save_assertions(self, assertions: Sequence[Assertion]) -> None:
        await self._write(lambda connection: rows.save_assertions(connection, assertions))

    async def assertion(self, assertion_id: str) -> Assertion | None:
        return await self._look_up(lambda connection: rows.assertion(connection, assertion_id))

    async def assertion_for(self, client: ClientId, order_key: str, coverage_key: str) -> Assertion | None:
        key = rows.assertion_key(client, order_key, coverage_key)
        return await self._look_up(lambda connection: rows.assertion_for(connection, key))

    async def assertions_alike(
        self, client: ClientId, content_key: str, coverage_key: str, since: datetime
    ) -> Sequence[Assertion]:
        key = rows.alike_key(client, content_key, coverage_key)
        return await self._look_up(lambda connection: rows.assertions_alike(connection, key, since))

    async def save_feedback(self, client: ClientId, service: str, feedback: bytes, at: datetime) -> None:
        row = {"client": client, "service": service, "feedback": feedback, "at": at}
        await self._write(lambda connection: rows.save_feedback(connection, row))

    async def log_exchange(self, *exchanges: Exchange) -> None:
        await self._write(lambda connection: rows.save_exchanges(connection, exchanges))

    async def first_use(self, issuer: str, token_id: str, context: str, expires: datetime) -> bool:
        key = rows.use_key(issuer, token_id, context)
        now = self._clock.now()
        return await self._write(lambda connection: rows.first_use(connection, key, expires, now))

    async def save_access_token(
        self, digest: str, client: ClientId, scopes: frozenset[str], expires: datetime
    ) -> None:
        """Remembers an issued access token by the digest of its text; forgets those that have expired."""
        token = rows.IssuedToken(digest, client, scopes, expires)
        now = self._clock.now()
        await self._write(lambda connection: rows.save_access_token(connection, token, now))

    async def access_token(self, digest: str) -> tuple[ClientId, frozenset[str], datetime] | None:
        """Whose access token it is, its scopes and its end; the caller compares the end with the time."""
        return await self._read(lambda connection: rows.access_token(connection, digest))

    async def _look_up(self, question: Callable[[Connection], T]) -> T:
        """A short read. Those asked for in one turn of the event loop go in one transaction: a thread's turn costs
        more than any of them."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[T] = loop.create_future()
        self._questions.append((question, answered))
        if len(self._questions) == 1:
            loop.call_soon(self._ask)
        return await answered

    def _ask(self) -> None:
        asked, self._questions = self._questions, []

        def all_of_them(connection: Connection) -> list[Any]:
            return [question(connection) for question, _ in asked]

        loop = asyncio.get_running_loop()
        told = loop.run_in_executor(self._readers, _in_transaction, self._engine, all_of_them)
        told.add_done_callback(partial(_tell, [answered for _, answered in asked]))

    async def _read(self, question: Callable[[Connection], T]) -> T:
        return await self._run(self._readers, self._engine, question)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        return await self._run(self._writers, self._writing_engine, change)

    async def _run(self, threads: ThreadPoolExecutor, engine: Engine, work: Callable[[Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, _in_transaction, engine, work)


def _in_transaction(engine: Engine, work: Callable[[Connection], T]) -> T:
    try:
        with engine.begin() as connection:
            return work(connection)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        kind = type(cause).__name__
    # Raised outside the except block, so that no traceback carries the original text.
    raise StoreFailed(f"The database could not do it ({kind}). Nothing was changed; send the request again.")


def _tell(waiting: Sequence[asyncio.Future[Any]], told: asyncio.Future[list[Any]]) -> None:
    """Hands each its answer, or all of them the failure; who has stopped waiting is passed over."""
    failure = None if told.cancelled() else told.exception()
    for number, answered in enumerate(waiting):
        if answered.done():
            continue
        if told.cancelled():
            answered.cancel()
        elif failure is not None:
            answered.set_exception(failure)
        else:
            answered.set_result(told.result()[number])


def open_store(url: str, clock: Clock | None = None) -> SqlStore:
    """Connects, brings the schema up to date, and returns the store. InvalidPolicy for a URL we do not speak."""
    engine = open_engine(url, connections=_READERS + max(_WRITERS.values()))
    try:
        migrate(engine.execution_options(**{WRITES: True}))
    except SQLAlchemyError:
        engine.dispose()
        raise
    return SqlStore(engine, clock or SystemClock())
