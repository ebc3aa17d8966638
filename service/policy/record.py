"""What is kept of a case beside the case itself: replies, changes, events, attachments, the audit trail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.policy.case import Case, CaseId


@dataclass(frozen=True, slots=True)
class StoredReply:
    """An answer already given: the exact bytes, for one guide version, to one client."""

    case_id: CaseId
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell about a case: `kind` is CASE_DECIDED or CASE_CHANGED."""

    id: str
    kind: str
    case_id: CaseId
    at: datetime


CASE_DECIDED: Final = "case-decided"
CASE_CHANGED: Final = "case-changed"


@dataclass(frozen=True, slots=True)
class CaseChange:
    """A case as it shall be, when its stored revision is still `expected`.

    `request` replaces the bytes that the case is evaluated from; what was received first is kept beside it.
    """

    case: Case
    expected: int
    audit: Mapping[str, Any]
    events: tuple[Event, ...] = ()
    request: bytes | None = None


@dataclass(frozen=True, slots=True)
class Attachment:
    """A document that arrived for one line of a case, exactly as it was sent."""

    id: str
    case_id: CaseId
    control_number: str
    sequence: int
    received_at: datetime
    content: bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened to a case. `document` is JSON text as stored; `sequence` counts from 1."""

    case_id: CaseId
    sequence: int
    at: datetime
    document: str
    previous: str
    hash: str


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What must be on disk before an answer leaves: the request's bytes, the case, the reply, the audit.

    `replaced` is the change to the case that this one replaces, saved in the same transaction or not at all.
    """

    case: Case
    content_hash: str
    request: bytes
    reply: StoredReply
    audit: Mapping[str, Any]
    events: tuple[Event, ...] = ()
    replaced: CaseChange | None = None
