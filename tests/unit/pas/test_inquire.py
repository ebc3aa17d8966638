"""Claim/$inquire: who may see a case, what finds it, and how each version answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.errors import MissingElement
from service.fhir.parse import StructureCheck
from service.pas.shape import Version
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import PAS, Payer, code_of, extension_of, response_of

Json = dict[str, Any]
ABSENT = "http://terminology.hl7.org/CodeSystem/data-absent-reason"


def inquiry(*items: Json, **claim: Any) -> Json:
    """An inquiry about the base patient with these items; by default without any filter."""
    whole = b.claim(**claim)
    for name in ("supportingInfo", "diagnosis", "careTeam"):
        if name not in claim:
            whole.pop(name)
    whole["identifier"] = claim.get("identifier", [{"system": "urn:trnorg:1245319599", "value": "INQ-1"}])
    whole["item"] = list(items)
    if not items:
        del whole["item"]
    bundle = b.bundle({b.CLAIM: whole})
    bundle["entry"] = [
        e for e in bundle["entry"] if e["fullUrl"] not in {b.ORDER, b.RESPONSE, b.ROLE, b.PRACTITIONER}
    ]
    return bundle


def line(code: str | None = "J9026", **rest: Any) -> Json:
    concept = b.coded(b.HCPCS, code) if code else b.coded(ABSENT, "not-applicable")
    return {"sequence": 1, "productOrService": concept, **rest}


def number(name: str, value: str) -> Json:
    return {"url": PAS + name, "valueString": value}


def found(answer: Json) -> list[Json]:
    """The ClaimResponses of an answer of either version."""
    if answer["resourceType"] == "Parameters":
        assert {p["name"] for p in answer.get("parameter", [])} <= {"return"}
        return [response_of(p["resource"]) for p in answer.get("parameter", [])]
    return [e["resource"] for e in answer["entry"] if e["resource"]["resourceType"] == "ClaimResponse"]


@pytest.mark.requirement("spec-43")
async def test_the_case_is_found_again_in_2_2_1(payer: Payer, check: StructureCheck) -> None:
    submitted = response_of(await payer.submit(b.bundle()))
    answer = await payer.inquire(inquiry(line(code=None)))
    assert check.check(answer) == ()
    get_fhir_model_class("Parameters").model_validate(answer)
    (parameter,) = answer["parameter"]
    bundle = parameter["resource"]
    assert bundle["meta"]["profile"][0].endswith("profile-pas-inquiry-response-bundle")
    response = response_of(bundle)
    assert response["meta"]["profile"][0].endswith("profile-claiminquiryresponse")
    assert {**response, "meta": None} == {**submitted, "meta": None}
    assert {e["resource"]["resourceType"] for e in bundle["entry"]} >= {"Patient", "Organization", "ClaimResponse"}


@pytest.mark.requirement("spec-15", "spec-32")
async def test_the_case_is_found_again_in_2_0_1(payer: Payer, check: StructureCheck) -> None:
    await payer.submit(b.bundle(), "2.0.1")
    await payer.submit(b.bundle({b.RESPONSE: b.response({})}), "2.0.1")
    answer = await payer.inquire(inquiry(line()), "2.0.1")
    assert answer["resourceType"] == "Bundle"
    assert check.check(answer) == ()
    kinds = [e["resource"]["resourceType"] for e in answer["entry"]]
    assert kinds[:2] == ["ClaimResponse", "ClaimResponse"]
    urls = [e["fullUrl"] for e in answer["entry"]]
    assert len(urls) == len(set(urls))
    assert [code_of(response["item"][0]) for response in found(answer)] == ["A4", "A1"]


async def test_nothing_found_is_an_empty_answer(payer: Payer, check: StructureCheck) -> None:
    assert await payer.inquire(inquiry(line())) == {"resourceType": "Parameters"}
    answer = await payer.inquire(inquiry(line()), "2.0.1")
    (entry,) = answer["entry"]
    assert entry["resource"]["resourceType"] == "OperationOutcome"
    assert check.check(answer) == ()


NPI_OF_CASE, OTHER_NPI = "1003000126", "1999999999"


@pytest.mark.requirement("spec-52")
@pytest.mark.parametrize(
    ("npi", "registered", "sees"),
    [
        ("1245319599", frozenset(), True),
        (NPI_OF_CASE, frozenset({NPI_OF_CASE}), True),
        (OTHER_NPI, frozenset(), False),
        (NPI_OF_CASE, frozenset({OTHER_NPI}), False),
    ],
)
@pytest.mark.requirement("spec-53")
async def test_others_need_the_member_and_the_providers_npi(
    payer: Payer, npi: str, registered: frozenset[str], sees: bool
) -> None:
    await payer.submit(b.bundle())
    asked = inquiry(line())
    asked["entry"][3]["resource"]["identifier"][0]["value"] = npi
    assert bool(found(await payer.inquire(asked, client="other", npis=registered))) == sees


async def test_the_client_itself_needs_no_npi(payer: Payer) -> None:
    await payer.submit(b.bundle())
    asked = inquiry(line())
    del asked["entry"][3]["resource"]["identifier"]
    assert len(found(await payer.inquire(asked))) == 1


@pytest.mark.requirement("spec-53")
async def test_another_members_cases_are_not_found(payer: Payer) -> None:
    await payer.submit(b.bundle())
    asked = inquiry(line())
    for resource in (asked["entry"][1]["resource"], asked["entry"][4]["resource"]):
        resource["identifier"][0]["value"] = "OTHER"
    assert found(await payer.inquire(asked)) == []


HITS: dict[str, tuple[Callable[[], Json], bool]] = {
    "no items": (inquiry, True),
    "the same drug": (lambda: inquiry(line()), True),
    "another product": (lambda: inquiry(line("99212")), False),
    "one of two products": (lambda: inquiry(line("99212"), {**line(), "sequence": 2}), True),
    "the day": (lambda: inquiry(line(servicedDate="2026-10-01")), True),
    "a day of the authorized year": (lambda: inquiry(line(servicedDate="2027-09-07")), True),
    "a day too late": (lambda: inquiry(line(servicedDate="2027-09-08")), False),
    "a period before": (lambda: inquiry(line(servicedPeriod={"start": "2026-01-01", "end": "2026-09-07"})), False),
    "billable period": (lambda: inquiry(billablePeriod={"start": "2026-09-01", "end": "2026-09-30"}), True),
    "billable period before": (lambda: inquiry(billablePeriod={"end": "2026-08-31"}), False),
    "diagnosis without dot": (
        lambda: inquiry(
            diagnosis=[
                {"sequence": 1, "diagnosisCodeableConcept": b.coded("http://hl7.org/fhir/sid/icd-10-cm", "c3490")},
                {"sequence": 2, "diagnosisCodeableConcept": b.coded("http://hl7.org/fhir/sid/icd-10-cm", "C50")},
            ]
        ),
        True,
    ),
    "other diagnosis": (
        lambda: inquiry(
            diagnosis=[
                {"sequence": 1, "diagnosisCodeableConcept": b.coded("http://hl7.org/fhir/sid/icd-10-cm", "C50")}
            ]
        ),
        False,
    ),
    "approved ones": (
        lambda: inquiry(
            line(
                extension=[
                    {
                        "url": PAS + "reviewActionCode",
                        "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/306", "A1"),
                    }
                ]
            )
        ),
        True,
    ),
    "pended ones": (
        lambda: inquiry(
            line(
                extension=[
                    {
                        "url": PAS + "reviewActionCode",
                        "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/306", "A4"),
                    }
                ]
            )
        ),
        False,
    ),
    "issued that day": (
        lambda: inquiry(line(extension=[{"url": PAS + "itemCertificationIssueDate", "valueDate": "2026-09-01"}])),
        True,
    ),
    "issued another day": (
        lambda: inquiry(line(extension=[{"url": PAS + "itemCertificationIssueDate", "valueDate": "2026-09-02"}])),
        False,
    ),
    "in effect from": (
        lambda: inquiry(
            line(
                extension=[
                    {
                        "url": PAS + "itemCertificationEffectiveDate",
                        "valuePeriod": {"start": "2026-09", "end": "2026"},
                    }
                ]
            )
        ),
        True,
    ),
    "ends another year": (
        lambda: inquiry(line(extension=[{"url": PAS + "itemCertificationExpirationDate", "valueDate": "2026"}])),
        False,
    ),
    "another number": (lambda: inquiry(extension=[number("authorizationNumber", "PA0")]), False),
    "another reference": (lambda: inquiry(line(extension=[number("administrationReferenceNumber", "RF0")])), False),
}


@pytest.mark.parametrize("asked", HITS)
async def test_what_is_asked_is_what_is_found(payer: Payer, asked: str) -> None:
    make, hit = HITS[asked]
    await payer.submit(b.bundle())
    assert bool(found(await payer.inquire(make()))) == hit


@pytest.mark.parametrize("on_item", [True, False])
async def test_numbers_find_their_case(payer: Payer, on_item: bool) -> None:
    approved = response_of(await payer.submit(b.bundle()))
    pended = response_of(await payer.submit(b.bundle({b.RESPONSE: b.response({})})))
    reference = extension_of(pended["item"][0], "administrationReferenceNumber")
    assert reference is not None
    numbers = {
        approved["id"]: number("authorizationNumber", approved["preAuthRef"]),
        pended["id"]: number("administrationReferenceNumber", reference["valueString"]),
    }
    for case_id, extension in numbers.items():
        asked = inquiry(line(None, extension=[extension])) if on_item else inquiry(line(), extension=[extension])
        assert [response["id"] for response in found(await payer.inquire(asked))] == [case_id]


@pytest.mark.parametrize(("version", "narrows"), [("2.0.1", True), ("2.2.1", False)])
async def test_the_claims_identifier_narrows_in_2_0_1_only(payer: Payer, version: Version, narrows: bool) -> None:
    first = response_of(await payer.submit(b.bundle()))
    other = b.claim(identifier=[{"system": "urn:trnorg:1245319599", "value": "SECOND"}])
    await payer.submit(b.bundle({b.CLAIM: other}))
    asked = inquiry(line(), identifier=[{"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}])
    ids = [response["id"] for response in found(await payer.inquire(asked, version))]
    assert (ids == [first["id"]]) == narrows
    assert len(found(await payer.inquire(inquiry(line()), version))) == 2


@pytest.mark.requirement("spec-38")
async def test_another_payer_is_told_so(payer: Payer) -> None:
    asked = inquiry(line())
    asked["entry"][2]["resource"]["identifier"][0]["value"] = "OTHER"
    (response,) = found(await payer.inquire(asked))
    assert response["outcome"] == "error"
    assert response["error"][0]["code"]["coding"][0]["code"] == "T4"
    (older,) = found(await payer.inquire(asked, "2.0.1"))
    assert older["outcome"] == "error"


@pytest.mark.parametrize("ids", [(None, None), ("A", "B")])
async def test_a_member_id_is_needed(payer: Payer, ids: tuple[str | None, str | None]) -> None:
    asked = inquiry(line())
    patient, coverage = asked["entry"][1]["resource"], asked["entry"][4]["resource"]
    del coverage["subscriberId"]
    for resource, value in zip((patient, coverage), ids, strict=True):
        resource["identifier"] = [{"type": b.MB, "value": value}] if value else [{"type": b.MB}]
    (response,) = found(await payer.inquire(asked))
    assert (response["outcome"], response["error"][0]["code"]["coding"][0]["code"]) == ("error", "72")
    path = extension_of(response["error"][0], "errorPath")
    assert path is not None
    assert path["valueString"] == "Bundle.entry[1].resource.identifier"
    assert "A" not in json.dumps([note["text"] for note in response["processNote"]]).split()


async def test_faults_of_structure_are_refused(payer: Payer) -> None:
    with pytest.raises(MissingElement):
        await payer.inquire({"resourceType": "Bundle", "type": "collection", "entry": []})
