"""The seams of the service: what the core and the use cases need from the world around them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Protocol

from service.policy.case import Authorization, Case, CaseId, ClientId, MemberId
from service.policy.match import Match, Named
from service.policy.model import Policy

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
class StoredReply:
    """An answer already given: the exact bytes, for one guide version, to one client."""

    case_id: CaseId
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What must be on disk before an answer leaves: the request's bytes, the case, the reply, the audit."""

    case: Case
    content_hash: str
    request: bytes
    reply: StoredReply
    audit: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Assertion:
    """What CRD said about one order and coverage; its id leads to the DTR package and is honoured later.

    `order_key` and `coverage_key` are the client's references plus the order's content identity; `shown` is the
    coverage-information as a version-neutral JSON object.
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


class Store(Protocol):
    """What was accepted, durably. Every method is one transaction; a return means it is on disk."""

    async def reply_to(self, client: ClientId, content_hash: str) -> StoredReply | None:
        """The first answer to this content from this client."""
        ...

    async def accept(self, acceptance: Acceptance) -> StoredReply:
        """Saves it, or, when the same client's identical content is already there, returns that first reply."""
        ...

    async def case(self, case_id: CaseId) -> tuple[Case, bytes] | None:
        """A case and the request's bytes as received."""
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

    async def save_feedback(self, client: ClientId, service: str, feedback: bytes, at: datetime) -> None: ...

    async def log_exchange(self, exchange: Exchange) -> None: ...

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
    """Who is calling: a registered client, or the development caller of a demo."""

    client: ClientId
    scopes: frozenset[str]
    npis: frozenset[str] = frozenset()
