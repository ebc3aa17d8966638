"""A case: one accepted request, what was decided on each line, and the numbers it is known by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import NewType

from service.policy.dates import DatePeriod
from service.policy.decision import Outcome
from service.policy.determination import Determination, LineDetermination

CaseId = NewType("CaseId", str)
ClientId = NewType("ClientId", str)
MemberId = NewType("MemberId", str)
Npi = NewType("Npi", str)


@dataclass(frozen=True, slots=True)
class Authorization:
    """An approval of ours for one policy and one member, valid in `period`."""

    number: str
    policy_id: str
    member: MemberId
    period: DatePeriod


@dataclass(frozen=True, slots=True)
class CaseLine:
    """A line with its determination; `authorization_number` exactly when approved or modified."""

    determination: LineDetermination
    authorization_number: str | None
    reference_number: str

    def __post_init__(self) -> None:
        granted = self.determination.outcome in {Outcome.APPROVED, Outcome.MODIFIED}
        if granted != (self.authorization_number is not None):
            raise ValueError("a line has an authorization number exactly when something is authorized")


@dataclass(frozen=True, slots=True)
class Case:
    """One accepted request. `received_at` and `decided_at` are UTC instants."""

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

    def authorizations(self) -> tuple[Authorization, ...]:
        """What this case authorizes, one entry per granted line that a policy covers."""
        if self.member is None:
            return ()
        return tuple(
            Authorization(line.authorization_number, d.policy.id, self.member, d.period)
            for line in self.lines
            if (d := line.determination).period and d.policy and line.authorization_number
        )
