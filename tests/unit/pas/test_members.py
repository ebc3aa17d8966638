"""What the member directory says of a submitted request: approved, or pended with the reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.fhir.canonical import NDC
from service.members.memory import MemoryMembers
from service.pas.shape import Version
from service.policy.case import MemberId
from service.policy.decision import Outcome
from service.policy.enrollment import Batch, Benefits, Checkpoint, CoverageRecord, MemberRecord, Plan
from service.policy.membership import OpenPeriod
from service.policy.model import DrugCode
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import Payer, code_of, response_of

MEMBER = MemberRecord(MemberId("M000123"), "p1", "1958-02-03", True)
YEAR = OpenPeriod(date(2026, 1, 1), date(2026, 12, 31))
COVERAGE = CoverageRecord("c1", "C-1", None, "p1", "active", YEAR, "GOLD", "self")
VERSIONS = pytest.mark.parametrize("version", ["2.0.1", "2.2.1"])
OURS = "https://payer.example.org/coverage"


async def with_directory(
    payer: Payer, *records: Any, benefits: Benefits | None = None, trusts: bool = False
) -> MemoryMembers:
    """The payer without trust in what is presented, and with these records."""
    directory = MemoryMembers()
    members = tuple(record for record in records if isinstance(record, MemberRecord))
    coverages = tuple(record for record in records if isinstance(record, CoverageRecord))
    await directory.save(Batch(members, coverages, Checkpoint("sha256:x")))
    if benefits:
        await directory.replace_benefits(benefits)
    determiner = payer.dependencies.determiner
    house = replace(determiner.house, trusts_presented_coverage=trusts)
    payer.dependencies = replace(payer.dependencies, members=directory, determiner=replace(determiner, house=house))
    return directory


async def obstacles(payer: Payer) -> list[str]:
    (case,) = await payer.cases()
    return [found.code for line in case.lines for found in line.determination.obstacles]


@VERSIONS
async def test_a_member_in_force_may_be_approved(payer: Payer, version: Version) -> None:
    await with_directory(payer, MEMBER, COVERAGE)
    response = response_of(await payer.submit(b.bundle(), version))
    assert [code_of(item) for item in response["item"]] == ["A1"]
    assert await obstacles(payer) == []


PENDED: dict[str, tuple[tuple[Any, ...], str, str]] = {
    "unknown": ((replace(MEMBER, member=MemberId("M9")), COVERAGE), "member-not-found", "not in the payer's records"),
    "no coverage": ((MEMBER,), "coverage-not-found", "which coverage of the member is meant"),
    "over": (
        (MEMBER, replace(COVERAGE, period=OpenPeriod(None, date(2026, 9, 7)))),
        "coverage-not-in-force",
        "no active coverage on the first service date",
    ),
}


@VERSIONS
@pytest.mark.parametrize("trusts", [False, True])
@pytest.mark.parametrize("name", PENDED)
async def test_who_is_no_member_waits_for_a_reviewer(payer: Payer, version: Version, name: str, trusts: bool) -> None:
    records, code, words = PENDED[name]
    await with_directory(payer, *records, trusts=trusts)
    response = response_of(await payer.submit(b.bundle(), version))
    assert [code_of(item) for item in response["item"]] == ["A4"]
    assert await obstacles(payer) == [code]
    assert any(words in note["text"] for note in response["processNote"])


async def test_a_coverage_id_of_ours_must_be_the_members(payer: Payer) -> None:
    await with_directory(payer, MEMBER, COVERAGE)
    own = b.coverage()
    own["identifier"].append({"system": OURS, "value": "C-9"})
    await payer.submit(b.bundle({b.COVERAGE: own}))
    assert await obstacles(payer) == ["coverage-not-found"]


@VERSIONS
async def test_what_the_plan_excludes_waits_for_a_reviewer(payer: Payer, version: Version) -> None:
    # By the NDC, where the line says the HCPCS code: it is one drug.
    plan = Plan("GOLD", "Gold", frozenset({DrugCode(NDC, "55513005901")}))
    await with_directory(payer, MEMBER, COVERAGE, benefits=Benefits((plan,), ()))
    response = response_of(await payer.submit(b.bundle(), version))
    assert [code_of(item) for item in response["item"]] == ["A4"]
    assert await obstacles(payer) == ["plan-excludes"]
    assert any("plan excludes this service" in note["text"] for note in response["processNote"])


async def test_each_line_is_judged_on_its_own_first_day(payer: Payer) -> None:
    await with_directory(payer, MEMBER, replace(COVERAGE, period=OpenPeriod(date(2026, 9, 9), None)))
    later = b.item(2, servicedPeriod={"start": "2026-09-09", "end": "2026-11-30"})
    await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(1), later)}))
    (case,) = await payer.cases()
    assert [line.determination.outcome for line in case.lines] == [Outcome.PENDED, Outcome.APPROVED]


@pytest.mark.parametrize(("trusts", "expected"), [(True, []), (False, ["member-unverified"])])
async def test_an_empty_directory_leaves_it_to_the_setting(payer: Payer, trusts: bool, expected: list[str]) -> None:
    await with_directory(payer, trusts=trusts)
    await payer.submit(b.bundle())
    assert await obstacles(payer) == expected


async def test_a_birth_date_of_the_directory_is_no_evidence(payer: Payer) -> None:
    await with_directory(payer, replace(MEMBER, birth_date="2020-01-01"), COVERAGE)
    response = response_of(await payer.submit(b.bundle()))
    assert [code_of(item) for item in response["item"]] == ["A1"]
