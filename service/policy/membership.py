"""What the payer's member directory says about one request: a membership, or why there is none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from service.policy.case import MemberId, Npi
from service.policy.dates import DatePeriod
from service.policy.model import DrugCode


class Missing(StrEnum):
    """Why there is no membership, in the words of CRD 2.2.1 (CodeSystem temp, requirements resp-44 and resp-45)."""

    NO_MEMBER_FOUND = "no-member-found"
    COVERAGE_NOT_FOUND = "coverage-not-found"
    NO_ACTIVE_COVERAGE = "no-active-coverage"


@dataclass(frozen=True, slots=True)
class NoMember:
    """Nobody, or nobody covered, is on file for what was presented."""

    reason: Missing


@dataclass(frozen=True, slots=True)
class OpenPeriod:
    """Whole days, both included; None is no bound."""

    start: date | None
    end: date | None

    def __contains__(self, day: date) -> bool:
        return (self.start is None or self.start <= day) and (self.end is None or day <= self.end)


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request says: the member id, ids of the coverage in our own system, and the ordering providers."""

    member: MemberId | None
    numbers: frozenset[str] = frozenset()
    npis: frozenset[Npi] = frozenset()


@dataclass(frozen=True, slots=True)
class Waiver:
    """One provider needs no prior authorization for one policy in `period`."""

    npi: Npi
    policy_id: str
    period: DatePeriod


@dataclass(frozen=True, slots=True)
class Membership:
    """A member with a coverage in force. `waivers` are those of the ordering providers on the day asked about."""

    member: MemberId
    plan: str | None
    period: OpenPeriod
    excluded: frozenset[DrugCode]
    waivers: tuple[Waiver, ...]

    def excludes(self, codes: Collection[DrugCode]) -> bool:
        """Whether the plan excludes a service that goes by any of these codes."""
        return not self.excluded.isdisjoint(codes)

    def waiver_of(self, policy_id: str) -> Waiver | None:
        """The waiver of that policy which lasts longest."""
        found = (waiver for waiver in self.waivers if waiver.policy_id == policy_id)
        return max(found, key=lambda waiver: waiver.period.end, default=None)


Verdict = Membership | NoMember
