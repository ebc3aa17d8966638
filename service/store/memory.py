"""The Store in memory: for tests, and for runs that keep nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from service.errors import Conflict
from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.policy.decision import Outcome
from service.ports import (
    Acceptance,
    Assertion,
    Attachment,
    AuditEntry,
    CaseChange,
    Clock,
    Event,
    Exchange,
    StoredReply,
    SystemClock,
)
from service.store.audit import holds, next_entry
from service.store.changes import ALIKE_LIMIT, changed_case, claim_names, names_of, number_name, trace_name


class MemoryStore:
    """ports.Store that forgets when it is let go of. No method waits, so none is interrupted half-way."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._accepted: dict[tuple[ClientId, str], Acceptance] = {}
        self._cases: dict[CaseId, Case] = {}
        self._requests: dict[CaseId, list[bytes]] = {}
        self._names: dict[str, list[CaseId]] = {}
        self._attachments: list[Attachment] = []
        self.events: list[Event] = []
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
        first = self._accepted.get((case.client, acceptance.content_hash))
        if first is not None:
            return first.reply
        if acceptance.replaced is not None:
            self._save(acceptance.replaced, case.decided_at)
        self._accepted[case.client, acceptance.content_hash] = acceptance
        self._requests[case.id] = [acceptance.request]
        self._keep(case)
        self._audit[case.id] = [next_entry(None, case.id, case.decided_at, acceptance.audit)]
        self.events += acceptance.events
        return acceptance.reply

    async def save(self, change: CaseChange) -> Case:
        return self._save(change, self._clock.now())

    def _save(self, change: CaseChange, at: datetime) -> Case:
        stored = self._cases.get(change.case.id)
        if stored is None or stored.revision != change.expected:
            raise Conflict("The case has been changed by somebody else since it was read. Read it again.")
        changed = changed_case(change)
        self._keep(changed)
        if change.request is not None:
            self._requests[changed.id].append(change.request)
        trail = self._audit[changed.id]
        trail.append(next_entry(trail[-1], changed.id, at, change.audit))
        self.events += change.events
        return changed

    def _keep(self, case: Case) -> None:
        self._cases[case.id] = case
        for name in names_of(case):
            named = self._names.setdefault(name, [])
            if case.id not in named:
                named.append(case.id)

    async def case(self, case_id: CaseId) -> tuple[Case, bytes] | None:
        found = self._cases.get(case_id)
        return None if found is None else (found, self._requests[case_id][-1])

    async def cases_of(self, member: MemberId) -> Sequence[tuple[Case, bytes]]:
        found = [case for case in reversed(self._cases.values()) if case.member == member]
        found.sort(key=lambda case: case.received_at, reverse=True)
        return [(case, self._requests[case.id][-1]) for case in found]

    async def requests(self, case_id: CaseId) -> Sequence[bytes]:
        return list(self._requests.get(case_id, ()))

    async def open_cases(self) -> Sequence[Case]:
        waiting = [c for c in self._cases.values() if c.outcome is Outcome.PENDED and c.replaced_by is None]
        return sorted(waiting, key=lambda case: (case.due is None, case.due or case.received_at))

    async def cases_received(self, start: datetime, end: datetime) -> Sequence[Case]:
        found = [case for case in self._cases.values() if start <= case.received_at < end]
        return sorted(found, key=lambda case: case.received_at)

    async def case_by_number(self, number: str) -> Case | None:
        return self._newest_named(number_name(number))

    async def case_by_trace(self, client: ClientId, trace: str) -> Case | None:
        return self._newest_named(trace_name(client, trace))

    async def case_for_claim(self, client: ClientId, full_url: str, identifiers: Sequence[str]) -> Case | None:
        found = (self._newest_named(name) for name in claim_names(client, full_url, identifiers))
        return next((case for case in found if case is not None), None)

    def _newest_named(self, name: str) -> Case | None:
        named = self._names.get(name)
        found = self._cases[named[-1]] if named else None
        while found is not None and found.replaced_by is not None:
            found = self._cases[found.replaced_by]
        return found

    async def attach(self, attachment: Attachment) -> None:
        self._attachments.append(attachment)

    async def attachments(self, case_id: CaseId) -> Sequence[Attachment]:
        return [attachment for attachment in self._attachments if attachment.case_id == case_id]

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        found = [
            authorization
            for case in reversed(self._cases.values())
            for authorization in reversed(case.authorizations())
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

    async def assertions_alike(
        self, client: ClientId, content_key: str, coverage_key: str, since: datetime
    ) -> Sequence[Assertion]:
        wanted = (client, content_key, coverage_key)
        found = [
            a
            for a in reversed(self._assertions)
            if content_key and (a.client, a.content_key, a.coverage_key) == wanted and a.made_at >= since
        ]
        return sorted(found, key=lambda assertion: assertion.made_at, reverse=True)[:ALIKE_LIMIT]

    async def save_feedback(self, client: ClientId, service: str, feedback: bytes, at: datetime) -> None:
        self.feedback.append((client, service, feedback, at))

    async def log_exchange(self, *exchanges: Exchange) -> None:
        self.exchanges += exchanges

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
