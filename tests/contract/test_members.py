"""The member directory, in memory and in both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.fhir.canonical import HCPCS
from service.members.memory import MemoryMembers
from service.policy.case import MemberId, Npi
from service.policy.dates import DatePeriod
from service.policy.enrollment import Batch, Benefits, Checkpoint, Counts, CoverageRecord, MemberRecord, Plan
from service.policy.membership import Membership, Missing, NoMember, OpenPeriod, Presented, Verdict, Waiver
from service.policy.model import DrugCode
from service.store.members import SqlMembers
from service.store.memory import MemoryStore
from tests.contract.conftest import AnyStore

DAY = date(2026, 6, 1)
YEAR = OpenPeriod(date(2026, 1, 1), date(2026, 12, 31))
DRUG, OTHER = DrugCode(HCPCS, "J0000"), DrugCode(HCPCS, "J1111")
ORDERER = Npi("1234567893")
MEMBER = MemberRecord(MemberId("M-1"), "p1", "1958-02", True)
COVERAGE = CoverageRecord("c1", "C-1", None, "p1", "active", YEAR, "GOLD", "self")
Directory = MemoryMembers | SqlMembers
Loads = Callable[..., Any]


@pytest.fixture
def directory(store: AnyStore) -> Directory:
    return MemoryMembers() if isinstance(store, MemoryStore) else store.members()


async def load(directory: Directory, *records: MemberRecord | CoverageRecord) -> None:
    members = tuple(record for record in records if isinstance(record, MemberRecord))
    coverages = tuple(record for record in records if isinstance(record, CoverageRecord))
    await directory.save(Batch(members, coverages, Checkpoint("sha256:x")))


async def found(directory: Directory, member: str | None = "M-1", on: date = DAY, **changes: Any) -> Verdict | None:
    presented = Presented(None if member is None else MemberId(member))
    return await directory.find(replace(presented, **changes), on)


def missing(reason: Missing) -> NoMember:
    return NoMember(reason)


async def test_without_a_member_nobody_can_tell(directory: Directory) -> None:
    await load(directory, COVERAGE)
    assert await found(directory) is None
    assert await found(directory, None) is None


async def test_a_member_with_a_coverage_in_force(directory: Directory) -> None:
    await load(directory, COVERAGE, MEMBER)
    assert await found(directory) == Membership(MemberId("M-1"), "GOLD", YEAR, frozenset(), ())


@pytest.mark.parametrize("member", [None, "M-2", "m-1", "", "M-1\x00", "' OR 1=1 --"])
async def test_anybody_else_is_not_found(directory: Directory, member: str | None) -> None:
    await load(directory, COVERAGE, MEMBER)
    assert await found(directory, member) == missing(Missing.NO_MEMBER_FOUND)


@pytest.mark.parametrize(
    ("day", "holds"),
    [(date(2025, 12, 31), False), (date(2026, 1, 1), True), (date(2026, 12, 31), True), (date(2027, 1, 1), False)],
)
async def test_the_first_and_the_last_day_count(directory: Directory, day: date, holds: bool) -> None:
    await load(directory, COVERAGE, MEMBER)
    verdict = await found(directory, on=day)
    assert isinstance(verdict, Membership) if holds else verdict == missing(Missing.NO_ACTIVE_COVERAGE)


@pytest.mark.parametrize(
    "period", [OpenPeriod(None, None), OpenPeriod(None, DAY), OpenPeriod(DAY, None)], ids=["none", "end", "start"]
)
async def test_a_bound_that_is_absent_bounds_nothing(directory: Directory, period: OpenPeriod) -> None:
    await load(directory, replace(COVERAGE, period=period), MEMBER)
    verdict = await found(directory)
    assert isinstance(verdict, Membership)
    assert verdict.period == period


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ((MEMBER,), Missing.COVERAGE_NOT_FOUND),
        ((MEMBER, replace(COVERAGE, patient="p2")), Missing.COVERAGE_NOT_FOUND),
        ((MEMBER, replace(COVERAGE, member=MemberId("M-2"))), Missing.COVERAGE_NOT_FOUND),
        ((MEMBER, replace(COVERAGE, status="entered-in-error")), Missing.COVERAGE_NOT_FOUND),
        ((MEMBER, COVERAGE, replace(COVERAGE, id="c2", plan="SILVER")), Missing.COVERAGE_NOT_FOUND),
        ((MEMBER, replace(COVERAGE, status="cancelled")), Missing.NO_ACTIVE_COVERAGE),
        ((MEMBER, replace(COVERAGE, status="draft")), Missing.NO_ACTIVE_COVERAGE),
        ((replace(MEMBER, active=False), COVERAGE), Missing.NO_ACTIVE_COVERAGE),
        ((replace(MEMBER, patient=None), replace(COVERAGE, patient=None)), Missing.COVERAGE_NOT_FOUND),
    ],
)
async def test_why_there_is_no_membership(directory: Directory, records: tuple[Any, ...], reason: Missing) -> None:
    await load(directory, *records)
    assert await found(directory) == missing(reason)


async def test_the_coverage_that_is_meant_counts(directory: Directory) -> None:
    silver = replace(COVERAGE, id="c2", number="C-2", plan="SILVER")
    theirs = replace(COVERAGE, id="c3", number="C-3", patient="p3")
    await load(directory, MEMBER, COVERAGE, silver, theirs)
    verdict = await found(directory, numbers=frozenset({"C-2"}))
    assert isinstance(verdict, Membership)
    assert verdict.plan == "SILVER"
    for number in ("C-3", "C-4"):
        assert await found(directory, numbers=frozenset({number})) == missing(Missing.COVERAGE_NOT_FOUND)


async def test_of_one_plan_the_longest_coverage_counts(directory: Directory) -> None:
    longer = replace(COVERAGE, id="c0", period=OpenPeriod(date(2026, 3, 1), date(2027, 2, 28)))
    await load(directory, MEMBER, COVERAGE, longer)
    verdict = await found(directory)
    assert isinstance(verdict, Membership)
    assert verdict.period == longer.period


async def test_a_coverage_with_a_member_id_of_its_own_needs_no_patient(directory: Directory) -> None:
    await load(directory, replace(MEMBER, patient=None), replace(COVERAGE, member=MemberId("M-1"), patient=None))
    assert isinstance(await found(directory), Membership)


async def test_what_is_loaded_later_replaces(directory: Directory) -> None:
    await load(directory, MEMBER, COVERAGE)
    await load(directory, replace(COVERAGE, status="cancelled"))
    assert await found(directory) == missing(Missing.NO_ACTIVE_COVERAGE)
    await load(directory, COVERAGE, replace(COVERAGE, plan="SILVER"))
    verdict = await found(directory)
    assert isinstance(verdict, Membership)
    assert verdict.plan == "SILVER"
    assert await directory.counts() == Counts(1, 1, 0, 0, 0, 0)


async def test_a_patient_with_a_new_member_id_leaves_the_old_one(directory: Directory) -> None:
    await load(directory, MEMBER, COVERAGE)
    await load(directory, replace(MEMBER, member=MemberId("M-9")))
    assert await found(directory) == missing(Missing.COVERAGE_NOT_FOUND)
    assert isinstance(await found(directory, "M-9"), Membership)


async def test_plans_exclude_by_their_own_codes(directory: Directory) -> None:
    await load(directory, MEMBER, COVERAGE)
    gold = Plan("GOLD", "Gold", frozenset({DRUG}))
    await directory.replace_benefits(Benefits((gold, Plan("SILVER", "Silver", frozenset({OTHER}))), ()))
    verdict = await found(directory)
    assert isinstance(verdict, Membership)
    assert verdict.excluded == frozenset({DRUG})
    assert (verdict.excludes({DRUG, OTHER}), verdict.excludes({OTHER})) == (True, False)
    await directory.replace_benefits(Benefits((), ()))
    again = await found(directory)
    assert isinstance(again, Membership)
    assert not again.excludes({DRUG})


async def test_waivers_are_those_of_the_orderer_on_the_day(directory: Directory) -> None:
    await load(directory, MEMBER, COVERAGE)
    now = Waiver(ORDERER, "zorvex", DatePeriod(DAY, DAY))
    longer = Waiver(ORDERER, "zorvex", DatePeriod(date(2026, 1, 1), date(2026, 12, 31)))
    over = Waiver(ORDERER, "zorvex", DatePeriod(date(2025, 1, 1), date(2026, 5, 31)))
    theirs = Waiver(Npi("1003000126"), "zorvex", longer.period)
    other = Waiver(ORDERER, "another", longer.period)
    await directory.replace_benefits(Benefits((), (now, longer, over, theirs, other)))
    verdict = await found(directory, npis=frozenset({ORDERER}))
    assert isinstance(verdict, Membership)
    assert set(verdict.waivers) == {now, longer, other}
    assert verdict.waiver_of("zorvex") == longer
    assert verdict.waiver_of("nothing") is None
    unnamed = await found(directory)
    assert isinstance(unnamed, Membership)
    assert unnamed.waivers == ()


async def test_counts_and_checkpoints(directory: Directory) -> None:
    assert await directory.checkpoint("sha256:a") is None
    reached = Checkpoint("sha256:a", 5_000_000_000, 20, 3, False)
    await directory.save(Batch((MEMBER,), (COVERAGE, replace(COVERAGE, id="c2", patient="p2")), reached))
    assert await directory.checkpoint("sha256:a") == reached
    done = replace(reached, done=True)
    await directory.save(Batch((), (), done))
    assert await directory.checkpoint("sha256:a") == done
    plans = (Plan("GOLD", "Gold", frozenset({DRUG, OTHER})),)
    await directory.replace_benefits(Benefits(plans, (Waiver(ORDERER, "zorvex", DatePeriod(DAY, DAY)),)))
    assert await directory.counts() == Counts(members=1, coverages=2, unowned=1, plans=1, excluded=2, waivers=1)
