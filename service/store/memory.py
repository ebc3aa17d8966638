"""The Store in memory: for tests, and for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.ports import Acceptance, Assertion, Clock, Exchange, StoredReply, SystemClock
from service.store.audit import AuditEntry, holds, next_entry


class MemoryStore:
    """ports.Store that forgets when it is let go of. No method waits, so none is interrupted half-way."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._accepted: dict[tuple[ClientId, str], Acceptance] = {}
        self._audit: dict[CaseId, list[AuditEntry]] = {}
        self._assertions: list[Assertion] = []
        self._used: dict[tuple[str, str, str], datetime] = {}
        self._access_tokens: dict[str, tuple[ClientId, frozenset[str], datetime]] = {}
        self.feedback: list[tuple[ClientId, str, bytes, datetime]] = []
        self.exchanges: list[Exchange] = []

    async def close(self) -> None:
        """Nothing to let go of."""

    async def ready(self) -> bool:
        return True

    async def reply_to(self, client: ClientId, content_hash: str) -> StoredReply | None:
        accepted = self._accepted.get((client, content_hash))
        return None if accepted is None else accepted.reply

    async def accept(self, acceptance: Acceptance) -> StoredReply:
        case = acceptance.case
        if acceptance.reply.case_id != case.id:
            raise ValueError("a reply tells of the case that it is stored with")
        first = self._accepted.setdefault((case.client, acceptance.content_hash), acceptance)
        if first is acceptance:
            self._audit[case.id] = [next_entry(None, case.id, case.decided_at, acceptance.audit)]
        return first.reply

    async def case(self, case_id: CaseId) -> tuple[Case, bytes] | None:
        found = (accepted for accepted in self._accepted.values() if accepted.case.id == case_id)
        return next(((accepted.case, accepted.request) for accepted in found), None)

    async def cases_of(self, member: MemberId) -> Sequence[tuple[Case, bytes]]:
        newest_first = list(self._accepted.values())[::-1]
        newest_first.sort(key=lambda accepted: accepted.case.received_at, reverse=True)
        return [(accepted.case, accepted.request) for accepted in newest_first if accepted.case.member == member]

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        found = [
            authorization
            for accepted in reversed(self._accepted.values())
            for authorization in reversed(accepted.case.authorizations())
            if authorization.member == member and authorization.policy_id == policy_id
        ]
        return sorted(found, key=lambda authorization: authorization.period.end, reverse=True)

    async def audit(self, case_id: CaseId) -> Sequence[AuditEntry]:
        """What happened to a case, oldest first."""
        return list(self._audit.get(case_id, ()))

    async def verify_audit(self, case_id: CaseId) -> bool:
        """True when the case has an audit trail and nothing in it was changed or removed."""
        return holds(await self.audit(case_id))

    async def save_assertions(self, assertions: Sequence[Assertion]) -> None:
        # As in the database: nothing is kept when one of them cannot be.
        kept = {assertion.id: assertion for assertion in self._assertions}
        for assertion in assertions:
            before = kept.pop(assertion.id, assertion)
            if _subject(before) != _subject(assertion):
                raise ValueError("an assertion id belongs to one order and coverage")
            kept[assertion.id] = assertion
        self._assertions = list(kept.values())

    async def assertion(self, assertion_id: str) -> Assertion | None:
        return next((assertion for assertion in self._assertions if assertion.id == assertion_id), None)

    async def assertion_for(self, client: ClientId, order_key: str, coverage_key: str) -> Assertion | None:
        wanted = (client, order_key, coverage_key)
        found = [a for a in reversed(self._assertions) if _subject(a) == wanted]
        return max(found, key=lambda assertion: assertion.made_at, default=None)

    async def save_feedback(self, client: ClientId, service: str, feedback: bytes, at: datetime) -> None:
        self.feedback.append((client, service, feedback, at))

    async def log_exchange(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)

    async def first_use(self, issuer: str, token_id: str, context: str, expires: datetime) -> bool:
        now = self._clock.now()
        self._used = {use: end for use, end in self._used.items() if end >= now}
        use = (issuer, token_id, context)
        if use in self._used:
            return False
        self._used[use] = expires
        return True

    async def save_access_token(
        self, digest: str, client: ClientId, scopes: frozenset[str], expires: datetime
    ) -> None:
        """Remembers an issued access token by the digest of its text; forgets those that have expired."""
        now = self._clock.now()
        self._access_tokens = {key: token for key, token in self._access_tokens.items() if token[2] >= now}
        self._access_tokens[digest] = (client, scopes, expires)

    async def access_token(self, digest: str) -> tuple[ClientId, frozenset[str], datetime] | None:
        """Whose access token it is, its scopes and its end; the caller compares the end with the time."""
        return self._access_tokens.get(digest)


def _subject(assertion: Assertion) -> tuple[ClientId, str, str]:
    """What an assertion speaks of, and to whom."""
    return assertion.client, assertion.order_key, assertion.coverage_key
