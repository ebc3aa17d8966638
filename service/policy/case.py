"""A case: one accepted request, what was decided on each line, and the numbers it is known by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final, NewType

from service.policy.dates import DatePeriod
from service.policy.decision import Outcome
from service.policy.determination import GRANTED, Determination, LineDetermination
from service.policy.model import LinkId

CaseId = NewType("CaseId", str)
ClientId = NewType("ClientId", str)
MemberId = NewType("MemberId", str)
Npi = NewType("Npi", str)


_ENDED: Final = GRANTED | {Outcome.CANCELLED}


class Urgency(StrEnum):
    """How fast a decision is due."""

    STANDARD = "standard"
    EXPEDITED = "expedited"


@dataclass(frozen=True, slots=True)
class Authorization:
    """An approval of ours for one policy and one member, valid in `period`."""

    number: str
    policy_id: str
    member: MemberId
    period: DatePeriod


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A line with its determination; `authorization_number` exactly when approved or modified.

    `previous` is what an earlier version of the request was granted: it stays valid until this line is granted
    anew or cancelled, whatever else is decided on it. `issued_at` is when the number was given, None: with the
    case's decision. `carried` is the Claim.item as an earlier version of the request had it, where this one leaves
    the line out. `assertion_id` is that of what was said about the order at its hook, where the request carries it.
    `trace` is the sender's own number for the line (itemTraceNumber), by which it may ask for the line's form.
    """

    determination: LineDetermination
    authorization_number: str | None
    reference_number: str
    previous: Authorization | None = None
    issued_at: datetime | None = None
    carried: Mapping[str, Any] | None = None
    assertion_id: str | None = None
    trace: str | None = None

    def __post_init__(self) -> None:
        if (self.determination.outcome in GRANTED) != (self.authorization_number is not None):
            raise ValueError("a line has an authorization number exactly when something is authorized")


@dataclass(frozen=True, slots=True)
class InfoRequest:
    """One thing asked of the provider for the line `sequence`, answered under its control number."""

    control_number: str
    sequence: int
    text: str
    link_ids: tuple[LinkId, ...]
    loinc: str | None
    asked_at: datetime
    due: datetime
    answered_at: datetime | None = None

    @property
    def asks_form(self) -> bool:
        """Whether the payer's questionnaire is asked for, rather than a document."""
        return bool(self.link_ids) and self.loinc is None


@dataclass(frozen=True, slots=True)
class Case:
    """One accepted request. Instants are UTC.

    `revision` counts changes, from 1; `due` is fixed at receipt. `claim_url` is the fullUrl of its Claim. A
    request that changes an earlier one is a case of its own: `replaces` and `replaced_by` are the chain.
    `held_by` is the account of the reviewer who works on it.
    """

    id: CaseId
    client: ClientId
    guide_version: str
    received_at: datetime
    decided_at: datetime
    member: MemberId | None
    providers: frozenset[Npi]
    claim_identifiers: tuple[str, ...]
    first_service: date | None
    lines: tuple[CaseLine, ...]
    linked: tuple[CaseId, ...] = ()
    revision: int = 1
    urgency: Urgency = Urgency.STANDARD
    due: datetime | None = None
    asked: tuple[InfoRequest, ...] = ()
    replaces: CaseId | None = None
    replaced_by: CaseId | None = None
    held_by: str | None = None
    claim_url: str | None = None

    @property
    def determination(self) -> Determination:
        return Determination(tuple(line.determination for line in self.lines))

    @property
    def outcome(self) -> Outcome:
        """The whole case; a line that no policy covers waits for a reviewer like any pended line."""
        outcome = self.determination.outcome
        return Outcome.PENDED if outcome is Outcome.NOT_COVERED_BY_POLICY else outcome

    @property
    def authorization_number(self) -> str | None:
        """The case-level number: that of the first line that was granted."""
        return next((line.authorization_number for line in self.lines if line.authorization_number), None)

    @property
    def numbers(self) -> tuple[str, ...]:
        """Every number that the case may be asked for by: authorization, reference and control numbers."""
        numbers = [
            number
            for line in self.lines
            for number in (
                line.authorization_number,
                line.reference_number,
                line.previous.number if line.previous else None,
            )
            if number
        ]
        return tuple(dict.fromkeys([*numbers, *(asked.control_number for asked in self.asked)]))

    def authorizations(self) -> tuple[Authorization, ...]:
        """What this case authorizes now: lines granted under a policy, and what still stands from before.

        A case that was replaced authorizes nothing by itself: its successor carries what stays valid.
        """
        if self.member is None or self.replaced_by is not None:
            return ()
        granted = [
            Authorization(line.authorization_number, d.policy.id, self.member, d.period)
            for line in self.lines
            if (d := line.determination).period and d.policy and line.authorization_number
        ]
        kept = [line.previous for line in self.lines if line.previous and line.determination.outcome not in _ENDED]
        return tuple(granted + kept)
