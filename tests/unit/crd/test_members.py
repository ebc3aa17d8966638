"""What the member directory says, and what a hook then answers in each version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from service.fhir.canonical import CRD_TEMP, HCPCS, NPI
from service.members.memory import MemoryMembers
from service.policy.case import Authorization, MemberId, Npi
from service.policy.dates import DatePeriod
from service.policy.enrollment import Batch, Benefits, Checkpoint, CoverageRecord, MemberRecord, Plan
from service.policy.membership import OpenPeriod, Waiver
from service.policy.model import DrugCode
from service.settings import Settings
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import (
    INITIAL_FORM,
    AuthorizingStore,
    Json,
    coverage,
    medication_request,
    patient,
    payer,
    request,
    said,
    searchset,
)

Opened = Callable[..., Endpoint]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])
MEMBER = MemberRecord(MemberId("M-1"), "p1", "1958-02-03", True)
YEAR = OpenPeriod(date(2026, 1, 1), date(2026, 12, 31))
COVERAGE = CoverageRecord("c1", "C-1", None, "p1", "active", YEAR, "GOLD", "self")
ORDERER = "1234567893"
OURS = "https://payer.example.org/coverage"


async def directory(*coverages: CoverageRecord, benefits: Benefits | None = None) -> MemoryMembers:
    made = MemoryMembers()
    await made.save(Batch((MEMBER,), coverages or (COVERAGE,), Checkpoint("sha256:x")))
    if benefits:
        await made.replace_benefits(benefits)
    return made


def presented(**changes: Any) -> Json:
    return {"patient": patient(), "coverage": searchset(coverage(**changes), payer())}


def check_not_covered(told: dict[str, list[Any]], version: str, code: str, words: str) -> None:
    assert told["covered"] == ["not-covered"]
    assert "pa-needed" not in told
    assert "questionnaire" not in told
    (reason,) = told["reason"]
    assert words in reason["text"]
    if version == "2.2":
        assert reason["coding"] == [{"system": CRD_TEMP, "code": code}]
    else:
        assert "coding" not in reason


@VERSIONS
async def test_a_member_in_force_is_answered_by_the_policy(opened: Opened, version: str) -> None:
    endpoint = opened(settings=Settings(), members=await directory())
    told = said(await endpoint.call(request(version=version)))
    assert told["covered"] == ["covered"]
    assert told["pa-needed"] == ["auth-needed"]
    assert told["questionnaire"] == [f"{INITIAL_FORM}|1.0.0"]
    if version == "2.2":
        assert told["expiry-date"] == ["2026-12-31"]


@VERSIONS
@pytest.mark.requirement("resp-44", "resp-42")
async def test_an_unknown_member_is_not_covered(opened: Opened, version: str) -> None:
    endpoint = opened(members=await directory())
    body = request(version=version, prefetch=presented(subscriberId="M-2"))
    check_not_covered(said(await endpoint.call(body)), version, "no-member-found", "no member with the member number")


@VERSIONS
@pytest.mark.requirement("resp-44", "conf-4")
async def test_without_a_member_number_nobody_is_found(opened: Opened, version: str) -> None:
    endpoint = opened(members=await directory())
    body = request(version=version, prefetch=presented(subscriberId=None))
    check_not_covered(said(await endpoint.call(body)), version, "no-member-found", "no member with the member number")


@VERSIONS
@pytest.mark.requirement("resp-45")
async def test_a_coverage_that_is_none_of_the_members_is_not_found(opened: Opened, version: str) -> None:
    endpoint = opened(members=await directory())
    body = request(version=version, prefetch=presented(identifier=[{"system": OURS, "value": "C-9"}]))
    check_not_covered(said(await endpoint.call(body)), version, "coverage-not-found", "which coverage")


@VERSIONS
@pytest.mark.parametrize(
    "ended", [{"status": "cancelled"}, {"period": OpenPeriod(None, date(2026, 11, 30))}], ids=["cancelled", "over"]
)
@pytest.mark.requirement("resp-45")
async def test_a_coverage_not_in_force_does_not_cover(opened: Opened, version: str, ended: Any) -> None:
    endpoint = opened(members=await directory(replace(COVERAGE, **ended)))
    told = said(await endpoint.call(request(version=version)))
    check_not_covered(told, version, "no-active-coverage", "no coverage in force on 2026-12-04")


@VERSIONS
async def test_a_coverage_that_ends_before_the_start_leaves_it_open(opened: Opened, version: str) -> None:
    endpoint = opened(members=await directory(replace(COVERAGE, period=OpenPeriod(None, date(2026, 12, 3)))))
    told = said(await endpoint.call(request(version=version)))
    assert (told["covered"], told["info-needed"]) == (["conditional"], ["contract-window"])


async def test_our_records_say_when_a_coverage_holds(opened: Opened) -> None:
    endpoint = opened(members=await directory())
    stale = request(version="2.2", prefetch=presented(period={"end": "2025-12-31"}))
    assert said(await endpoint.call(stale))["pa-needed"] == ["auth-needed"]
    dead = request(version="2.2", prefetch=presented(status="cancelled"))
    told = said(await endpoint.call(dead))
    assert told["covered"] == ["not-covered"]


@VERSIONS
@pytest.mark.parametrize("code", ["J0000", "99999000001"])
async def test_a_plan_may_exclude_the_drug_by_any_of_its_codes(opened: Opened, version: str, code: str) -> None:
    system = HCPCS if code.startswith("J") else "http://hl7.org/fhir/sid/ndc"
    plan = Plan("GOLD", "Gold", frozenset({DrugCode(system, code)}))
    endpoint = opened(members=await directory(benefits=Benefits((plan,), ())))
    told = said(await endpoint.call(request(version=version)))
    assert told["covered"] == ["not-covered"]
    assert "pa-needed" not in told
    assert [reason["text"] for reason in told["reason"]] == ["The member's plan excludes what is ordered."]


async def test_a_plan_may_exclude_what_no_policy_names(opened: Opened) -> None:
    plan = Plan("GOLD", "Gold", frozenset({DrugCode(HCPCS, "J7777")}))
    endpoint = opened(members=await directory(benefits=Benefits((plan,), ())))
    other = {"coding": [{"system": HCPCS, "code": "J7777"}]}
    told = said(await endpoint.call(request(medication_request(medicationCodeableConcept=other))))
    assert told["covered"] == ["not-covered"]
    assert said(await endpoint.call(request()))["covered"] == ["covered"]


def waived(**changes: Any) -> Benefits:
    waiver = Waiver(Npi(ORDERER), "zorvex", DatePeriod(date(2026, 12, 1), date(2026, 12, 20)))
    return Benefits((), (replace(waiver, **changes),))


def practitioner(npi: str = ORDERER) -> Json:
    return {"resourceType": "Practitioner", "id": "d1", "identifier": [{"system": NPI, "value": npi}]}


ROLE = {"resourceType": "PractitionerRole", "id": "r1", "practitioner": {"reference": "Practitioner/d1"}}
REQUESTERS: dict[str, tuple[Json, list[Json]]] = {
    "prefetched": ({"reference": "Practitioner/d1"}, [practitioner()]),
    "by a role": ({"reference": "PractitionerRole/r1"}, [ROLE, practitioner()]),
    "by its number": ({"identifier": {"system": NPI, "value": ORDERER}}, []),
}


def ordered_by(name: str, version: str) -> Json:
    requester, resources = REQUESTERS[name]
    body = request(medication_request(requester=requester), version=version)
    body["prefetch"] |= {f"extra{number}": resource for number, resource in enumerate(resources)}
    return body


@VERSIONS
@pytest.mark.parametrize("name", REQUESTERS)
async def test_a_loaded_waiver_frees_its_provider(opened: Opened, version: str, name: str) -> None:
    endpoint = opened(members=await directory(benefits=waived()))
    answer = await endpoint.call(ordered_by(name, version))
    told = said(answer)
    assert (told["covered"], told["pa-needed"]) == (["covered"], ["no-auth"])
    assert told["reason"][0]["coding"] == [{"system": CRD_TEMP, "code": "gold-card"}]
    assert "until 2026-12-20" in told["reason"][0]["text"]
    assert not {"questionnaire", "doc-needed", "doc-purpose", "satisfied-pa-id"} & set(told)
    assert ("expiry-date" in told) == (version == "2.2")
    if version == "2.2":
        assert told["expiry-date"] == ["2026-12-20"]
    assert "needs prior authorization" not in str(answer["cards"])


@VERSIONS
@pytest.mark.parametrize(
    "changes",
    [
        {"npi": Npi("1003000126")},
        {"policy_id": "another"},
        {"period": DatePeriod(date(2026, 12, 5), date(2027, 12, 5))},
        {"period": DatePeriod(date(2026, 1, 1), date(2026, 12, 3))},
    ],
    ids=["another provider", "another policy", "not yet", "over"],
)
async def test_no_other_waiver_frees(opened: Opened, version: str, changes: Any) -> None:
    endpoint = opened(members=await directory(benefits=waived(**changes)))
    told = said(await endpoint.call(ordered_by("prefetched", version)))
    assert told["pa-needed"] == ["auth-needed"]


async def test_a_waiver_does_not_make_a_member(opened: Opened) -> None:
    endpoint = opened(members=await directory(replace(COVERAGE, status="cancelled"), benefits=waived()))
    told = said(await endpoint.call(ordered_by("prefetched", "2.2")))
    assert told["covered"] == ["not-covered"]


@VERSIONS
async def test_an_empty_directory_leaves_it_to_the_setting(opened: Opened, version: str) -> None:
    trusting = opened(members=MemoryMembers())
    assert said(await trusting.call(request(version=version)))["pa-needed"] == ["auth-needed"]
    strict = opened(settings=Settings(), members=MemoryMembers())
    told = said(await strict.call(request(version=version)))
    assert told["covered"] == ["indeterminate" if version == "2.2" else "conditional"]


async def test_authorizations_are_told_of_members_only(opened: Opened) -> None:
    held = Authorization("A-1", "zorvex", MemberId("M-1"), DatePeriod(date(2026, 6, 1), date(2027, 5, 31)))
    known = opened(settings=Settings(), store=AuthorizingStore(held), members=await directory())
    assert said(await known.call(request()))["satisfied-pa-id"] == ["A-1"]
    gone = opened(store=AuthorizingStore(held), members=await directory(replace(COVERAGE, status="cancelled")))
    answer = await gone.call(request())
    assert "A-1" not in str(answer)
