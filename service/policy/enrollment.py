"""Members, coverages and plans as the payer loads them, and which coverage counts on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from service.policy.case import MemberId
from service.policy.membership import Missing, NoMember, OpenPeriod, Presented, Waiver
from service.policy.model import DrugCode

_NEVER_WAS: Final = "entered-in-error"
_IN_FORCE: Final = "active"


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One person. `patient` is the id of the Patient that it was loaded from, `birth_date` as written there."""

    member: MemberId
    patient: str | None
    birth_date: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class CoverageRecord:
    """One coverage. It belongs to `member`, or where that is None to the person loaded from `patient`.

    `id` is the id of the Coverage that it was loaded from, `number` its id in the payer's own system.
    """

    id: str
    number: str | None
    member: MemberId | None
    patient: str | None
    status: str
    period: OpenPeriod
    plan: str | None
    relationship: str | None

    def holds_on(self, day: date) -> bool:
        return self.status == _IN_FORCE and day in self.period


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan does not cover; `id` is the value of the Coverage's class of type plan."""

    id: str
    name: str
    excluded: frozenset[DrugCode]


@dataclass(frozen=True, slots=True)
class Benefits:
    """All plans and all waivers; loading them replaces what was loaded before."""

    plans: tuple[Plan, ...]
    waivers: tuple[Waiver, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a file has been imported: bytes and lines read, lines that were bad, and whether that was all."""

    digest: str
    offset: int = 0
    lines: int = 0
    bad: int = 0
    done: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are saved together with the place in the file after them; later ones replace earlier ones."""

    members: tuple[MemberRecord, ...]
    coverages: tuple[CoverageRecord, ...]
    reached: Checkpoint


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is loaded. `unowned` are coverages of nobody who is loaded."""

    members: int
    coverages: int
    unowned: int
    plans: int
    excluded: int
    waivers: int


def coverage_on(
    member: MemberRecord, coverages: Sequence[CoverageRecord], presented: Presented, on: date
) -> CoverageRecord | NoMember:
    """The one coverage of a member that is meant and holds on that day.

    Coverages of different plans in force at once, with nothing to tell which is meant, are "not specific enough
    to resolve to a single coverage", which the guide calls coverage-not-found (CRD 2.2.1, CodeSystem temp).
    """
    known = [coverage for coverage in coverages if coverage.status != _NEVER_WAS]
    if presented.numbers:
        known = [coverage for coverage in known if coverage.number in presented.numbers]
    if not known:
        return NoMember(Missing.COVERAGE_NOT_FOUND)
    holding = [coverage for coverage in known if coverage.holds_on(on)] if member.active else []
    if not holding:
        return NoMember(Missing.NO_ACTIVE_COVERAGE)
    if len({coverage.plan for coverage in holding}) > 1:
        return NoMember(Missing.COVERAGE_NOT_FOUND)
    # Of one plan: the one that lasts longest, and among equals always the same.
    return max(holding, key=lambda coverage: (coverage.period.end or date.max, coverage.id))
