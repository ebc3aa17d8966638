"""The seams of the service: what the core and the use cases need from the world around them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal, Protocol

from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.policy.match import Match, Named
from service.policy.membership import Presented, Verdict
from service.policy.model import Policy
from service.policy.record import CASE_CHANGED as CASE_CHANGED
from service.policy.record import CASE_DECIDED as CASE_DECIDED
from service.policy.record import Acceptance as Acceptance
from service.policy.record import Attachment as Attachment
from service.policy.record import AuditEntry as AuditEntry
from service.policy.record import CaseChange as CaseChange
from service.policy.record import Event as Event
from service.policy.record import StoredReply as StoredReply

Resource = Mapping[str, Any]
"""A FHIR resource as plain JSON: dicts, lists, str, bool, int, Decimal."""


class Clock(Protocol):
    """The time now, aware, in UTC."""

    def now(self) -> datetime: ...


class Ids(Protocol):
    """Identifiers nobody has used: lower-case UUID text, valid as a FHIR id."""

    def new(self) -> str: ...


class SystemClock:
    """The machine's clock; the only reader of it."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class RandomIds:
    """Version 4 UUIDs; the only maker of them."""

    def new(self) -> str:
        return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class LibraryRef:
    """A CQL library by name and version."""

    name: str
    version: str


@dataclass(frozen=True, slots=True)
class LogicLibrary:
    """A translated CQL library; `elm` is the parsed ELM JSON document ({"library": ...})."""

    ref: LibraryRef
    elm: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogicSet:
    """All libraries and expanded FHIR ValueSets that an evaluation may use; `digest` names its content."""

    digest: str
    libraries: tuple[LogicLibrary, ...]
    value_sets: tuple[Resource, ...]


@dataclass(frozen=True, slots=True)
class CqlDate:
    """A CQL Date of year, month or day precision: "2026", "2026-12", "2026-12-04"."""

    text: str


CqlValue = str | bool | int | CqlDate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Named defines of one library over one patient's records. `now` is what Today() and Now() answer."""

    logic: LogicSet
    library: LibraryRef
    defines: tuple[str, ...]
    records: tuple[Resource, ...]
    parameters: Mapping[str, CqlValue]
    now: datetime


class Evaluator(Protocol):
    """Runs CQL. Raises EngineFailed when the logic fails and DeadlinePassed when it takes too long."""

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        """Define -> None, bool, int, float, str, list, tuple as dict, {"type": "Date", "value": "2026-12"}, ..."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy revision with everything that its forms and logic need.

    `questionnaires` are the forms by canonical url (no version), as authored. `libraries` are FHIR Library
    resources with CQL and ELM content; `value_sets` expanded FHIR ValueSets.
    """

    policy: Policy
    questionnaires: Mapping[str, Resource]
    logic: LogicSet
    criteria: LibraryRef
    prepopulation: LibraryRef | None
    libraries: tuple[Resource, ...]
    value_sets: tuple[Resource, ...]


class PolicyRegistry(Protocol):
    """All loaded policy revisions."""

    def match(self, named: Named, on: date) -> Match | None:
        """The policy whose drug is named, with its revision in force on that date, if any."""
        ...

    def loaded(self, policy: Policy) -> LoadedPolicy: ...

    def all(self) -> Sequence[LoadedPolicy]: ...

    def questionnaire(self, canonical: str) -> tuple[LoadedPolicy, Resource] | None:
        """A form by canonical, with or without version; without, the newest revision's."""
        ...


@dataclass(frozen=True, slots=True)
class Assertion:
    """What CRD said about one order and coverage; its id leads to the DTR package and is honoured later.

    `order_key` and `coverage_key` are the client's references plus the order's content identity; `shown` is the
    coverage-information as a version-neutral JSON object. `content_key` is a hash of what exactly is asked for and
    for whom, "" where the order does not say; it is the same under every id that the order goes by.
    """

    id: str
    client: ClientId
    order_key: str
    coverage_key: str
    order_reference: str
    coverage_reference: str
    policy_id: str | None
    questionnaire: str | None
    made_at: datetime
    shown: Mapping[str, Any]
    content_key: str = ""


class MemberDirectory(Protocol):
    """The payer's own records of who is covered."""

    async def find(self, presented: Presented, on: date) -> Verdict | None:
        """The membership on that day, or why there is none; None when no directory is loaded, so nobody can tell."""
        ...


class Store(Protocol):
    """What was accepted, durably. Every method is one transaction; a return means it is on disk."""

    async def reply_to(self, client: ClientId, content_hash: str) -> StoredReply | None:
        """The first answer to this content from this client."""
        ...

    async def accept(self, acceptance: Acceptance) -> StoredReply:
        """Saves it, or, when the same client's identical content is already there, returns that first reply.

        Conflict when the case that it replaces has changed.
        """
        ...

    async def save(self, change: CaseChange) -> Case:
        """Saves the case with revision expected + 1, and returns it; Conflict when it has another revision."""
        ...

    async def case(self, case_id: CaseId) -> tuple[Case, bytes] | None:
        """A case and the bytes that it is evaluated from: the request's, or those of a later change."""
        ...

    async def requests(self, case_id: CaseId) -> Sequence[bytes]:
        """All bytes that a case was evaluated from, as received first, then in the order of change."""
        ...

    async def open_cases(self) -> Sequence[Case]:
        """Current cases that wait for a reviewer, the one due first first."""
        ...

    async def cases_received(self, start: datetime, end: datetime) -> Sequence[Case]:
        """Every case received at `start` or later and before `end`, replaced ones too, in order of receipt."""
        ...

    async def case_by_number(self, number: str) -> Case | None:
        """The current version of the newest case that has this authorization, reference or control number."""
        ...

    async def case_by_trace(self, client: ClientId, trace: str) -> Case | None:
        """The current version of the client's newest case with a line that it gave this trace number."""
        ...

    async def case_for_claim(self, client: ClientId, full_url: str, identifiers: Sequence[str]) -> Case | None:
        """The current version of the client's newest case whose Claim has this fullUrl, else an identifier.

        Identifiers are "system|value". Neither is unique in practice (pas.md trap 10), so the newest is meant.
        """
        ...

    async def audit(self, case_id: CaseId) -> Sequence[AuditEntry]:
        """What happened to a case, oldest first."""
        ...

    async def verify_audit(self, case_id: CaseId) -> bool:
        """True when the case has an audit trail and nothing in it was changed or removed."""
        ...

    async def attach(self, attachment: Attachment) -> None: ...

    async def attachments(self, case_id: CaseId) -> Sequence[Attachment]:
        """A case's documents in order of arrival."""
        ...

    async def cases_of(self, member: MemberId) -> Sequence[tuple[Case, bytes]]:
        """A member's cases with their request bytes, newest first."""
        ...

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        """Approved authorizations of one policy for one member, latest end first."""
        ...

    async def save_assertions(self, assertions: Sequence[Assertion]) -> None: ...

    async def assertion(self, assertion_id: str) -> Assertion | None: ...

    async def assertion_for(self, client: ClientId, order_key: str, coverage_key: str) -> Assertion | None:
        """The newest assertion for the same order and coverage of the same client."""
        ...

    async def assertions_alike(
        self, client: ClientId, content_key: str, coverage_key: str, since: datetime
    ) -> Sequence[Assertion]:
        """The client's assertions about the same content and coverage made at `since` or later, newest first.

        At most the newest 50; none for the empty content key.
        """
        ...

    async def save_feedback(self, client: ClientId, service: str, feedback: bytes, at: datetime) -> None: ...

    async def log_exchange(self, *exchanges: Exchange) -> None: ...

    async def first_use(self, issuer: str, token_id: str, context: str, expires: datetime) -> bool:
        """True when (issuer, token_id, context) is new; remembers it until it expires."""
        ...


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call kept for disputes and metrics (CRD 2.2.1 found-37): who, what, when, and both bodies."""

    id: str
    kind: str
    client: ClientId
    requested_at: datetime
    answered_at: datetime
    status: int
    request: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: a registered client, or the development caller of a demo.

    `smart_launch_card` says that it opens forms from SMART cards, not from coverage-information. `fhir_servers` are
    the bases of its own FHIR servers; with none registered, those on the service's list.
    `strict_intake`: its PAS requests must follow the profiles to the letter.
    """

    client: ClientId
    scopes: frozenset[str]
    npis: frozenset[str] = frozenset()
    smart_launch_card: bool = False
    fhir_servers: frozenset[str] = frozenset()
    strict_intake: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gave, included resources among them.

    `complete` is False when something was left behind: a page that was not read, an entry that broke FHIR R4.
    """

    resources: tuple[Resource, ...]
    complete: bool


class EhrClient(Protocol):
    """One caller's FHIR server, for the length of one call and with that call's access token.

    Every method raises EhrUnavailable (EhrRefused when the server will not), and is done by the call's deadline.
    Whose records came back is for the reader to check.
    """

    @property
    def base(self) -> str:
        """The FHIR base, without a slash at its end."""
        ...

    @property
    def token_use(self) -> str:
        """ "not-used", "used" or "rejected" (CRD 2.2.1, CRDMetricData.tokenUse)."""
        ...

    def named(self, reference: str) -> tuple[str, str] | None:
        """(type, id) of a reference to this very server; None for any other text."""
        ...

    async def read(self, resource_type: str, logical_id: str) -> Resource: ...

    async def search(self, resource_type: str, *parameters: tuple[str, str]) -> Found: ...

    async def rest(self, page: Resource) -> Found:
        """The pages after a search result that somebody else asked for."""
        ...

    async def create(self, resource: Resource) -> str:
        """The new resource's id."""
        ...


class EhrClients(Protocol):
    """Opens the FHIR servers of callers."""

    def open(
        self, server: str | None, token: str | None, *, deadline: float, registered: frozenset[str] = frozenset()
    ) -> EhrClient | None:
        """None when there is no token, or the server is not one that we may call.

        `deadline` is a time of the running event loop. `registered` are the caller's own bases: it may name no other.
        """
        ...


SubscriptionStatus = Literal["requested", "active", "error", "off"]


@dataclass(frozen=True, slots=True)
class Subscription:
    """A client's wish to be told; `resource` is as received, its headers may be secrets.

    `events` counts what there was to tell so far. Nothing is sent while `status` is error or off, and only a
    handshake while it is requested.
    """

    id: str
    client: ClientId
    guide_version: str
    status: SubscriptionStatus
    resource: Resource
    made_at: datetime
    events: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notification to send, held by one process until its lease ends.

    `event` is None for a handshake, whose `number` is 0. `attempt` counts from 1; `claim` is the lease's name.
    """

    subscription: Subscription
    number: int
    event: Event | None
    attempt: int
    claim: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What is not told yet: notifications that wait, and subscriptions that ended in error."""

    waiting: int
    in_error: int
