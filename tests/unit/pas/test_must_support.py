"""Everything that the profiles of our answers mark must-support can be returned: the list is the guide's own."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.pas.codes import load_codes
from service.pas.filed import filed
from service.pas.response import answer_entries, collection
from service.pas.routes import SHAPES
from service.pas.shape import Rendering, Version
from service.policy.case import CaseId
from service.policy.dates import DatePeriod
from service.policy.decision import Clinician
from service.policy.determination import Granted
from service.policy.review import ApproveModified, apply
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import BOTH, update
from tests.unit.pas.must_support import profile
from tests.unit.pas.payer import PAS, Payer, response_of
from tests.unit.pas.stories import STORIES
from tests.unit.pas.test_attachment import asked_for_document

Json = dict[str, Any]
TEMP = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"

NOT_ON_PAPER = "Every case here arrived as a Claim, so the request can always be referred to."
# What no case of ours has, by version-less element, and why.
EXCLUDED = {"ClaimResponse.request.extension:DataAbsentReason": NOT_ON_PAPER}


def wealthy() -> Json:
    """A request that says everything an answer may take over."""
    bundle = STORIES["approved-rich"]()
    claim = bundle["entry"][0]["resource"]
    claim["identifier"][0]["extension"] = [
        {"url": PAS + "identifierSubDepartment", "valueString": "223412"},
        {
            "url": PAS + "identifierJurisdiction",
            "valueCodeableConcept": b.coded("https://www.usps.com/", "NY"),
        },
    ]
    claim["supportingInfo"] += [
        {"sequence": 2, "category": b.coded(TEMP, "admissionDates"), "timingPeriod": {"start": "2026-09-08"}},
        {"sequence": 3, "category": b.coded(TEMP, "dischargeDates"), "timingDate": "2026-09-10"},
    ]
    return bundle


def wider(prior: Json) -> Json:
    """An update of it that a reviewer has to decide: a range of codes, with all that a line can say."""
    claim = prior["entry"][0]["resource"]
    item = json.loads(json.dumps(claim["item"][0]))
    item["extension"] += [
        {"url": PAS + "infoChanged", "valueCode": "changed"},
        {"url": PAS + "epsdtIndicator", "valueBoolean": False},
        {
            "url": PAS + "nursingHomeResidentialStatus",
            "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/1345", "1"),
        },
        {
            "url": PAS + "nursingHomeLevelOfCare",
            "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/1337", "1"),
        },
        {"url": PAS + "productOrServiceCodeEnd", "valueCodeableConcept": b.coded(b.HCPCS, "J9027")},
        {"url": PAS + "revenueUnitRateLimit", "valueDecimal": 100.50},
    ]
    kept = {name: claim[name] for name in ("supportingInfo", "careTeam", "extension", "identifier")}
    return update(item, **kept)


async def modified(payer: Payer, version: Version) -> list[Json]:
    """Approved, changed, and granted in part by a clinician: both answers and the news."""
    first = wealthy()
    approved = await payer.submit(first, version)
    pended = await payer.submit(wider(first), version)
    stored = await payer.store.case(CaseId(response_of(pended)["id"]))
    assert stored is not None
    verdict = ApproveModified(
        Granted(Decimal(40)), DatePeriod(date(2026, 9, 8), date(2027, 9, 7)), "Forty units are enough."
    )
    person = Clinician("Dr. A. Reviewer", "1888888884", "207RH0003X")
    case = apply(stored[0], {1: verdict}, person, payer.clock.now(), "PA9999999999")
    await payer.store.save(CaseChange(case, stored[0].revision, {"kind": "test"}))
    return [approved, pended, await news(payer, case.id, version)]


async def news(payer: Payer, case_id: CaseId, version: Version) -> Json:
    """The answer to a case as it is now, as subscribers get it."""
    stored = await payer.store.case(case_id)
    assert stored is not None
    whole = filed(*stored, payer.settings)
    rendering = Rendering(payer.settings, payer.dependencies.codes, SHAPES[version])
    entries = answer_entries(whole.case, whole.received, rendering)
    found: Json = json.loads(
        encode(collection(entries, profile="urn:profile", bundle_id="news", at=payer.clock.now()))
    )
    return found


async def answers(payer: Payer, version: Version) -> list[Json]:
    """The union of our answers: modified, asked for more, and in error."""
    codes = replace(
        load_codes(),
        authorized_provider="P3",
        report_types={"11526-1": "15"},
        content_modifiers={"11526-1": "18804-5"},
    )
    payer.dependencies = replace(payer.dependencies, codes=codes)
    given = await modified(payer, version)
    asked = await asked_for_document(payer)
    error = await payer.submit(STORIES["error-wrong-payer"](), version)
    return [*given, await news(payer, asked.id, version), error]


def resources(bundles: list[Json], kind: str) -> list[Json]:
    return [
        one["resource"] for bundle in bundles for one in bundle["entry"] if one["resource"]["resourceType"] == kind
    ]


def absent(version: Version, name: str, found: list[Json]) -> list[str]:
    return [one for one in profile(version, name).absent(found) if one not in EXCLUDED]


@BOTH
@pytest.mark.requirement("conf-6")
async def test_what_a_request_may_be_answered_with(payer: Payer, check: StructureCheck, version: Version) -> None:
    given = await answers(payer, version)
    for one in given:
        assert check.check(one) == ()
    assert absent(version, "claimresponse", resources(given, "ClaimResponse")) == []
    assert absent(version, "pas-response-bundle", given) == []
    assert absent(version, "communicationrequest", resources(given, "CommunicationRequest")) == []
    assert absent(version, "task", resources(given, "Task")) == []


@BOTH
@pytest.mark.requirement("conf-6")
async def test_what_an_inquiry_may_be_answered_with(payer: Payer, check: StructureCheck, version: Version) -> None:
    await answers(payer, version)
    told = []
    for asked in (b.bundle(), b.bundle({b.INSURER: b.insurer("OTHER")})):
        answer = await payer.inquire(asked, version)
        told += [answer] if version == "2.0.1" else [one["resource"] for one in answer["parameter"]]
    for one in told:
        assert check.check(one) == ()
    assert absent(version, "claiminquiryresponse", resources(told, "ClaimResponse")) == []
    assert absent(version, "pas-inquiry-response-bundle", told) == []


async def test_what_is_left_out_has_no_case(payer: Payer) -> None:
    """An exclusion that a case of ours could fill is none."""
    found = resources(await answers(payer, "2.2.1"), "ClaimResponse")
    assert set(EXCLUDED) <= set(profile("2.2.1", "claimresponse").absent(found))


@pytest.mark.parametrize("lost", ["ClaimResponse.extension:authorizedProvider", "ClaimResponse.error.code"])
async def test_a_lost_element_is_noticed(payer: Payer, lost: str) -> None:
    found = resources(await answers(payer, "2.2.1"), "ClaimResponse")
    for one in found:
        one["extension"] = [x for x in one.get("extension", []) if not x["url"].endswith("itemAuthorizedProvider")]
        for error in one.get("error", []):
            del error["code"]
    assert lost in profile("2.2.1", "claimresponse").absent(found)
