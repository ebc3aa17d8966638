"""The member directory on SQLite and PostgreSQL, and what loads it. Every call is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection, Row, Table, bindparam, delete, exists, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from service.policy.case import MemberId, Npi
from service.policy.dates import DatePeriod
from service.policy.enrollment import (
    Batch,
    Benefits,
    Checkpoint,
    Counts,
    CoverageRecord,
    MemberRecord,
    coverage_on,
)
from service.policy.membership import Membership, Missing, NoMember, OpenPeriod, Presented, Verdict, Waiver
from service.policy.model import DrugCode
from service.store.member_tables import member_coverages, member_imports, members, plan_exclusions, plans, waivers

T = TypeVar("T")


class Transactions(Protocol):
    """Runs work on a connection, in a transaction of its own, beside the event loop."""

    async def __call__(self, work: Callable[[Connection], T], /) -> T: ...


# What a hook asks is made once, as in rows.py.
_MEMBER: Final = select(members).where(members.c.member == bindparam("number"))
_ANY_MEMBER: Final = select(members.c.active).limit(1)
# By the member's number, or by the Patient where the Coverage names no number; nobody's Patient is nobody's (NULL).
_COVERAGES: Final = select(member_coverages).where(
    or_(
        member_coverages.c.member == bindparam("number"),
        (member_coverages.c.patient == bindparam("of_patient")) & member_coverages.c.member.is_(None),
    )
)
_EXCLUSIONS: Final = select(plan_exclusions).where(plan_exclusions.c.plan_id == bindparam("plan"))
_WAIVERS: Final = (
    select(waivers)
    .where(
        waivers.c.npi.in_(bindparam("npis", expanding=True)),
        waivers.c.start_date <= bindparam("on"),
        waivers.c.end_date >= bindparam("on"),
    )
    .order_by(waivers.c.npi, waivers.c.policy_id, waivers.c.start_date)
)


class SqlMembers:
    """ports.MemberDirectory, durable, and the side that the import writes to."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def find(self, presented: Presented, on: date) -> Verdict | None:
        return await self._read(lambda connection: _find(connection, presented, on))

    async def checkpoint(self, digest: str) -> Checkpoint | None:
        """How far the file with this content has been imported; None when it has not been begun."""
        return await self._read(lambda connection: _checkpoint(connection, digest))

    async def save(self, batch: Batch) -> None:
        """Adds or replaces the records, by member id and by coverage id, and remembers the place in the file."""
        await self._write(lambda connection: _save(connection, batch))

    async def replace_benefits(self, benefits: Benefits) -> None:
        """Forgets the plans and waivers loaded before, and takes these."""
        await self._write(lambda connection: _replace_benefits(connection, benefits))

    async def counts(self) -> Counts:
        return await self._read(_counts)


def _find(connection: Connection, presented: Presented, on: date) -> Verdict | None:
    found = connection.execute(_MEMBER, {"number": presented.member}).first()
    if found is None:
        loaded = connection.execute(_ANY_MEMBER).first() is not None
        return NoMember(Missing.NO_MEMBER_FOUND) if loaded else None
    person = MemberRecord(MemberId(found.member), found.patient, found.birth_date, found.active)
    rows = connection.execute(_COVERAGES, {"number": person.member, "of_patient": person.patient})
    meant = coverage_on(person, [_coverage(row) for row in rows], presented, on)
    if isinstance(meant, NoMember):
        return meant
    return Membership(
        member=person.member,
        plan=meant.plan,
        period=meant.period,
        excluded=_excluded(connection, meant.plan),
        waivers=_waivers(connection, presented.npis, on),
    )


def _coverage(row: Row[Any]) -> CoverageRecord:
    return CoverageRecord(
        id=row.id,
        number=row.number,
        member=None if row.member is None else MemberId(row.member),
        patient=row.patient,
        status=row.status,
        period=OpenPeriod(row.start_date, row.end_date),
        plan=row.plan,
        relationship=row.relationship,
    )


def _excluded(connection: Connection, plan: str | None) -> frozenset[DrugCode]:
    if plan is None:
        return frozenset()
    rows = connection.execute(_EXCLUSIONS, {"plan": plan})
    return frozenset(DrugCode(row.system, row.code) for row in rows)


def _waivers(connection: Connection, npis: frozenset[Npi], on: date) -> tuple[Waiver, ...]:
    if not npis:
        return ()
    rows = connection.execute(_WAIVERS, {"npis": sorted(npis), "on": on})
    return tuple(Waiver(Npi(row.npi), row.policy_id, DatePeriod(row.start_date, row.end_date)) for row in rows)


def _checkpoint(connection: Connection, digest: str) -> Checkpoint | None:
    row = connection.execute(select(member_imports).where(member_imports.c.digest == digest)).first()
    return None if row is None else Checkpoint(row.digest, row.position, row.lines, row.bad, row.done)


def _save(connection: Connection, batch: Batch) -> None:
    persons = {person.member: person for person in batch.members}
    _part_from_old_ids(connection, list(persons.values()))
    _upsert(connection, members, [_member_row(person) for person in persons.values()])
    covers = {coverage.id: coverage for coverage in batch.coverages}
    _upsert(connection, member_coverages, [_coverage_row(coverage) for coverage in covers.values()])
    reached = batch.reached
    place = {"digest": reached.digest, "position": reached.offset, "lines": reached.lines}
    _upsert(connection, member_imports, [{**place, "bad": reached.bad, "done": reached.done}])


def _part_from_old_ids(connection: Connection, persons: Sequence[MemberRecord]) -> None:
    """A Patient that comes back with another member id leaves the old one, which then has no coverage by it."""
    now = {person.patient: person.member for person in persons if person.patient is not None}
    if not now:
        return
    before = connection.execute(select(members.c.member, members.c.patient).where(members.c.patient.in_(list(now))))
    parted = [row.member for row in before if now[row.patient] != row.member]
    if parted:
        connection.execute(update(members).where(members.c.member.in_(parted)).values(patient=None))


def _upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
    added = dialect.insert(table)
    keys = [column.name for column in table.primary_key.columns]
    changed = {column.name: added.excluded[column.name] for column in table.columns if column.name not in keys}
    # Sorted: two imports at once that lock the same rows in different orders would wait for each other.
    ordered = sorted(rows, key=lambda row: str(row[keys[0]]))
    connection.execute(added.on_conflict_do_update(index_elements=keys, set_=changed), ordered)


def _member_row(person: MemberRecord) -> dict[str, Any]:
    return {
        "member": person.member,
        "patient": person.patient,
        "birth_date": person.birth_date,
        "active": person.active,
    }


def _coverage_row(coverage: CoverageRecord) -> dict[str, Any]:
    return {
        "id": coverage.id,
        "number": coverage.number,
        "member": coverage.member,
        "patient": coverage.patient,
        "status": coverage.status,
        "start_date": coverage.period.start,
        "end_date": coverage.period.end,
        "plan": coverage.plan,
        "relationship": coverage.relationship,
    }


def _replace_benefits(connection: Connection, benefits: Benefits) -> None:
    for table in (waivers, plan_exclusions, plans):
        connection.execute(delete(table))
    excluded = [
        {"plan_id": plan.id, "system": code.system, "code": code.code}
        for plan in benefits.plans
        for code in plan.excluded
    ]
    granted = [
        {
            "npi": waiver.npi,
            "policy_id": waiver.policy_id,
            "start_date": waiver.period.start,
            "end_date": waiver.period.end,
        }
        for waiver in benefits.waivers
    ]
    named = [{"id": plan.id, "name": plan.name} for plan in benefits.plans]
    for table, rows in ((plans, named), (plan_exclusions, excluded), (waivers, granted)):
        if rows:
            connection.execute(insert(table), rows)


def _counts(connection: Connection) -> Counts:
    def count(table: Table) -> int:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()

    by_id = exists().where(members.c.member == member_coverages.c.member)
    by_patient = exists().where(members.c.patient == member_coverages.c.patient, member_coverages.c.member.is_(None))
    unowned = select(func.count()).select_from(member_coverages).where(~by_id, ~by_patient)
    return Counts(
        members=count(members),
        coverages=count(member_coverages),
        unowned=connection.execute(unowned).scalar_one(),
        plans=count(plans),
        excluded=count(plan_exclusions),
        waivers=count(waivers),
    )
