"""The member directory in memory: for tests, and for what-ifs that keep nothing."""

from __future__ import annotations

from datetime import date

from service.policy.case import MemberId
from service.policy.enrollment import Batch, Benefits, Checkpoint, Counts, CoverageRecord, MemberRecord, coverage_on
from service.policy.membership import Membership, Missing, NoMember, Presented, Verdict, Waiver


class MemoryMembers:
    """ports.MemberDirectory that forgets when it is let go of."""

    def __init__(self) -> None:
        self._members: dict[MemberId, MemberRecord] = {}
        self._by_patient: dict[str, MemberId] = {}
        self._coverages: dict[str, CoverageRecord] = {}
        self._benefits = Benefits((), ())
        self._checkpoints: dict[str, Checkpoint] = {}

    async def find(self, presented: Presented, on: date) -> Verdict | None:
        if not self._members:
            return None
        person = self._members.get(presented.member) if presented.member is not None else None
        if person is None:
            return NoMember(Missing.NO_MEMBER_FOUND)
        owned = [coverage for coverage in self._coverages.values() if self._owner(coverage) == person.member]
        meant = coverage_on(person, owned, presented, on)
        if isinstance(meant, NoMember):
            return meant
        excluded = [plan.excluded for plan in self._benefits.plans if plan.id == meant.plan]
        return Membership(
            member=person.member,
            plan=meant.plan,
            period=meant.period,
            excluded=frozenset().union(*excluded),
            waivers=self._waivers(presented, on),
        )

    async def checkpoint(self, digest: str) -> Checkpoint | None:
        """How far the file with this content has been imported; None when it has not been begun."""
        return self._checkpoints.get(digest)

    async def save(self, batch: Batch) -> None:
        """Adds or replaces the records, by member id and by coverage id, and remembers the place in the file."""
        for person in batch.members:
            self._add(person)
        self._coverages |= {coverage.id: coverage for coverage in batch.coverages}
        self._checkpoints[batch.reached.digest] = batch.reached

    async def replace_benefits(self, benefits: Benefits) -> None:
        """Forgets the plans and waivers loaded before, and takes these."""
        self._benefits = benefits

    async def counts(self) -> Counts:
        return Counts(
            members=len(self._members),
            coverages=len(self._coverages),
            unowned=sum(self._owner(coverage) is None for coverage in self._coverages.values()),
            plans=len(self._benefits.plans),
            excluded=sum(len(plan.excluded) for plan in self._benefits.plans),
            waivers=len(self._benefits.waivers),
        )

    def _add(self, person: MemberRecord) -> None:
        """A FHIR Patient is one member: who had its id before keeps the rest."""
        replaced = self._members.get(person.member)
        if replaced is not None and replaced.patient is not None:
            self._by_patient.pop(replaced.patient, None)
        if person.patient is not None:
            other = self._members.get(self._by_patient.get(person.patient, person.member))
            if other is not None and other.member != person.member:
                self._members[other.member] = MemberRecord(other.member, None, other.birth_date, other.active)
            self._by_patient[person.patient] = person.member
        self._members[person.member] = person

    def _owner(self, coverage: CoverageRecord) -> MemberId | None:
        if coverage.member is not None:
            return coverage.member if coverage.member in self._members else None
        return None if coverage.patient is None else self._by_patient.get(coverage.patient)

    def _waivers(self, presented: Presented, on: date) -> tuple[Waiver, ...]:
        found = [w for w in self._benefits.waivers if w.npi in presented.npis and on in w.period]
        return tuple(sorted(found, key=lambda w: (w.npi, w.policy_id, w.period.start)))
