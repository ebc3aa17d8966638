"""The answer at the wire: golden files for both versions, R4 validity, and what every answer has in common."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.pas.codes import load_codes
from service.pas.filed import filed
from service.pas.intake import Received
from service.pas.response import claim_response
from service.pas.routes import SHAPES
from service.pas.shape import Rendering, Version
from service.policy.case import Case, CaseId, CaseLine
from service.policy.dates import DatePeriod
from service.policy.decision import Administrative, Clinician, Decision, Outcome, Reviewer
from service.policy.determination import GRANTED, Granted
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import PAS, Payer, action_of, code_of, extension_of, response_of
from tests.unit.pas.stories import STORIES

Json = dict[str, Any]
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "pas"
VERSIONS: tuple[Version, ...] = ("2.0.1", "2.2.1")
BOTH = pytest.mark.parametrize("version", VERSIONS)


@BOTH
@pytest.mark.parametrize("story", STORIES)
async def test_answers_are_as_reviewed(payer: Payer, story: str, version: Version) -> None:
    """Set REGENERATE_GOLDEN=1 to write the files anew, and review the difference."""
    request = STORIES[story]()
    answer = await payer.submit(request, version)
    folder = GOLDEN / story
    if os.environ.get("REGENERATE_GOLDEN"):
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder / "request.json", request)
        _write(folder / f"response-{version}.json", answer)
    assert json.loads((folder / "request.json").read_text()) == json.loads(encode(request))
    assert json.loads((folder / f"response-{version}.json").read_text()) == answer


def _write(path: Path, document: Json) -> None:
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@BOTH
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.requirement("spec-23", "spec-30", "spec-31", "spec-33", "spec-34")
async def test_answers_are_valid_and_whole(payer: Payer, check: StructureCheck, story: str, version: Version) -> None:
    request = STORIES[story]()
    answer = await payer.submit(request, version)
    get_fhir_model_class("Bundle").model_validate(json.loads(json.dumps(answer)))
    assert check.check(answer) == ()
    assert_bundle(answer)
    sent = {entry["fullUrl"]: entry["resource"] for entry in json.loads(encode(request))["entry"]}
    assert answer["entry"][1:]
    for entry in answer["entry"][1:]:
        if entry["resource"]["resourceType"] not in {"CommunicationRequest", "Task"}:
            assert entry["resource"] == sent[entry["fullUrl"]]
        assert set(entry) == {"fullUrl", "resource"}
    response = response_of(answer)
    assert response["request"] == {"reference": b.CLAIM}
    assert response["identifier"][0] == {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}
    assert response["identifier"][1]["value"] == response["id"]
    if response["outcome"] != "error":
        assert [item["itemSequence"] for item in response["item"]] == [
            item["sequence"] for item in request["entry"][0]["resource"]["item"]
        ]


def assert_bundle(answer: Json) -> None:
    """A collection with time and identifier, the ClaimResponse first, each resource once, no reference astray."""
    assert (answer["resourceType"], answer["type"]) == ("Bundle", "collection")
    assert answer["timestamp"].endswith("Z")
    assert answer["identifier"]["value"] == f"urn:uuid:{answer['id']}"
    urls = [entry["fullUrl"] for entry in answer["entry"]]
    assert len(urls) == len(set(urls))
    kinds = [entry["resource"]["resourceType"] for entry in answer["entry"]]
    assert kinds[0] == "ClaimResponse"
    assert kinds.count("ClaimResponse") == 1
    response = response_of(answer)
    wanted = set(literal_references(response)) - {response["request"].get("reference")}
    assert wanted <= set(urls)


def literal_references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["reference"]] if isinstance(node.get("reference"), str) else []
        return own + [found for child in node.values() for found in literal_references(child)]
    return [found for child in node for found in literal_references(child)] if isinstance(node, list) else []


@BOTH
async def test_the_address_is_on_the_versions_base(payer: Payer, version: Version) -> None:
    answer = await payer.submit(b.bundle(), version)
    base = {"2.0.1": "https://payer.example.org/2.0.1/fhir", "2.2.1": "https://payer.example.org/fhir"}[version]
    assert answer["entry"][0]["fullUrl"] == f"{base}/ClaimResponse/{response_of(answer)['id']}"


@BOTH
async def test_an_approved_line_says_exactly_what_was_requested(payer: Payer, version: Version) -> None:
    request = STORIES["approved-rich"]()
    item = request["entry"][0]["resource"]["item"][0]
    (line,) = response_of(await payer.submit(request, version))["item"]
    values = {one["url"].removeprefix(PAS): one for one in line["extension"]}
    assert values["itemTraceNumber"]["valueIdentifier"]["value"] == "LINE-1"
    assert values["itemPreAuthIssueDate"]["valueDate"] == "2026-09-01"
    assert values["itemPreAuthPeriod"]["valuePeriod"] == {"start": "2026-09-08", "end": "2027-09-07"}
    assert values["itemRequestedServiceDate"]["valueDateTime"] == "2026-09-08"
    assert values["itemAuthorizedProvider"]["extension"] == [
        {"url": "provider", "valueReference": {"reference": b.PRACTITIONER}}
    ]
    revenue = {"2.0.1": "revenue", "2.2.1": PAS + "revenueCode"}[version]
    assert values["itemAuthorizedDetail"]["extension"] == [
        {"url": "productOrServiceCode", "valueCodeableConcept": item["productOrService"]},
        {"url": "modifier", "valueCodeableConcept": item["modifier"][0]},
        {"url": "unitPrice", "valueMoney": item["unitPrice"]},
        {"url": "quantity", "valueQuantity": item["quantity"]},
        {"url": revenue, "valueCodeableConcept": item["revenue"]},
    ]
    assert "administrationReferenceNumber" not in values


@BOTH
async def test_a_pended_line_has_a_reference_number_and_grants_nothing(payer: Payer, version: Version) -> None:
    response = response_of(await payer.submit(STORIES["pended-unmet"](), version))
    assert response["outcome"] == {"2.0.1": "queued", "2.2.1": "partial"}[version]
    (line,) = response["item"]
    values = {one["url"].removeprefix(PAS): one for one in line["extension"]}
    assert set(values) == {
        "itemTraceNumber",
        "administrationReferenceNumber",
        "itemRequestedServiceDate",
        "communicatedDiagnosis",
    }
    assert values["administrationReferenceNumber"]["valueString"].startswith("RF")
    assert values["itemRequestedServiceDate"]["valuePeriod"] == {"start": "2026-09-08", "end": "2026-11-30"}


@BOTH
async def test_numbers_keep_their_digits(payer: Payer, version: Version) -> None:
    body = encode(b.bundle()).replace(b'"value":61', b'"value":61.00')
    assert b'"quantity","valueQuantity":{"value":61.00' in await payer.submit_bytes(body, version)


async def test_the_error_element_is_nested_in_2_2_1_only(payer: Payer) -> None:
    request = STORIES["error-wrong-payer"]()
    old, new = [response_of(await payer.submit(request, version)) for version in VERSIONS]
    element = extension_of(old["error"][0], "errorElement")
    assert element is not None
    assert element["valueString"] == "2010A-NM109"
    element = extension_of(new["error"][0], "errorElement")
    assert element is not None
    assert element["extension"] == [
        {"url": "processNote", "valuePositiveInt": 1},
        {"url": "error", "valueString": "2010A-NM109"},
    ]
    assert [note["number"] for note in new["processNote"]] == [1]


async def test_transmission_identifiers_change_places_in_2_2_1(payer: Payer) -> None:
    request = STORIES["approved-rich"]()
    found = extension_of(response_of(await payer.submit(request)), "TransmissionIdentifiers")
    assert found is not None
    assert {part["url"]: part["valueString"] for part in found["extension"]} == {
        "applicationReceiverCode": "EHR01",
        "applicationSenderCode": "PAYER01",
        "interchangeReceiverID": "SENDER-0001",
    }
    older = response_of(await payer.submit(request, "2.0.1"))
    assert "extension" not in older


async def test_the_reviewer_is_named_once_something_is_decided(payer: Payer) -> None:
    approved = extension_of(response_of(await payer.submit(b.bundle())), "claimResponseReviewer")
    assert approved is not None
    assert approved["extension"] == [{"url": "wasHumanReviewedFlag", "valueBoolean": False}]
    pended = response_of(await payer.submit(STORIES["pended-unmet"]()))
    assert extension_of(pended, "claimResponseReviewer") is None


async def test_the_requestor_stands_in_for_a_missing_care_team(payer: Payer) -> None:
    claim = b.claim(b.item())
    del claim["careTeam"], claim["item"][0]["careTeamSequence"]
    (line,) = response_of(await payer.submit(b.bundle({b.CLAIM: claim})))["item"]
    provider = extension_of(line, "itemAuthorizedProvider")
    assert provider is not None
    assert provider["extension"][0]["valueReference"] == {"reference": b.REQUESTOR}


@BOTH
async def test_the_kind_of_provider_is_nested_as_each_version_wants(payer: Payer, version: Version) -> None:
    payer.dependencies = replace(payer.dependencies, codes=replace(load_codes(), authorized_provider="P3"))
    (line,) = response_of(await payer.submit(b.bundle(), version))["item"]
    provider = extension_of(line, "itemAuthorizedProvider")
    assert provider is not None
    url = {"2.0.1": "providerType", "2.2.1": PAS + "authorizedProviderType"}[version]
    assert provider["extension"][1]["url"] == url
    assert provider["extension"][1]["valueCodeableConcept"]["coding"][0]["code"] == "P3"


async def test_parties_named_by_identifier_are_echoed_as_they_were(payer: Payer) -> None:
    nowhere = {"identifier": {"system": b.NPI, "value": "1999999999"}}
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(provider=nowhere)})))
    assert response["requestor"] == nowhere
    here = {"identifier": {"system": b.NPI, "value": "1245319599"}}
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(provider=here)})))
    assert response["requestor"] == {"reference": b.REQUESTOR}


PERSON = Clinician("Dr. A. Reviewer", "1888888884", "207RH0003X")


async def by_person(payer: Payer, outcome: Outcome) -> tuple[Case, Received]:
    """The base case as if a clinician had ended it that way."""
    response = response_of(await payer.submit(STORIES["pended-unmet"]()))
    found = await payer.store.case(CaseId(response["id"]))
    assert found is not None
    whole = filed(*found, payer.settings)
    (line,) = whole.case.lines
    decided = replace(
        line.determination,
        decision=Decision(outcome, PERSON, ("The indication is investigational.",)),
        period=DatePeriod(date(2026, 9, 8), date(2027, 9, 7)) if outcome in GRANTED else None,
        granted=Granted(Decimal(40)) if outcome is Outcome.MODIFIED else None,
    )
    number = "PA0000000001" if outcome in GRANTED else None
    return replace(whole.case, lines=(CaseLine(decided, number, line.reference_number),)), whole.received


DECISIONS = {
    Outcome.APPROVED: ("A1", "complete"),
    Outcome.MODIFIED: ("A6", "complete"),
    Outcome.DENIED: ("A3", "complete"),
    Outcome.CANCELLED: ("C", "complete"),
}


@BOTH
@pytest.mark.parametrize("outcome", DECISIONS)
async def test_a_persons_decision_can_be_told(payer: Payer, version: Version, outcome: Outcome) -> None:
    case, received = await by_person(payer, outcome)
    rendering = Rendering(payer.settings, load_codes(), SHAPES[version])
    response = claim_response(case, received, rendering, "urn:profile")
    get_fhir_model_class("ClaimResponse").model_validate(json.loads(encode(response)))
    (line,) = response["item"]
    assert (code_of(line), response["outcome"]) == DECISIONS[outcome]
    granted = outcome in {Outcome.APPROVED, Outcome.MODIFIED}
    assert ("preAuthRef" in response) == granted
    assert ("number" in action_of(line)) == granted
    reviewer = extension_of(response, "claimResponseReviewer")
    if version == "2.0.1":
        assert reviewer is None
    else:
        assert reviewer is not None
        flag, npi, specialty = reviewer["extension"]
        assert flag["valueBoolean"] is True
        assert npi["valueIdentifier"]["value"] == "1888888884"
        assert specialty["valueCodeableConcept"]["coding"][0]["code"] == "207RH0003X"


async def test_a_denial_has_a_reason_code_only_where_the_payer_has_set_one(payer: Payer) -> None:
    """The binding of reasonCode is required (extension-reviewAction): words alone go into the line's note."""
    case, received = await by_person(payer, Outcome.DENIED)
    rendering = Rendering(payer.settings, load_codes(), SHAPES["2.2.1"])
    plain = claim_response(case, received, rendering, "urn:profile")["item"][0]
    assert "reasonCode" not in action_of(plain)
    with_code = replace(load_codes(), decision_reasons={"denied": "XX"})
    coded = claim_response(case, received, replace(rendering, codes=with_code), "urn:profile")["item"][0]
    assert action_of(coded)["reasonCode"] == {
        "coding": [{"system": "https://codesystem.x12.org/external/886", "code": "XX"}],
        "text": "The indication is investigational.",
    }


async def test_lines_with_different_periods_have_no_common_one(payer: Payer) -> None:
    later = b.item(2, servicedPeriod={"start": "2026-10-01", "end": "2026-11-30"})
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(1), later)})))
    assert response["outcome"] == "complete"
    assert "preAuthPeriod" not in response
    assert {action_of(item)["number"] for item in response["item"]} == {response["preAuthRef"]}


@BOTH
@pytest.mark.requirement("spec-36", "spec-37")
async def test_less_than_was_asked_for_is_told_as_each_version_wants(payer: Payer, version: Version) -> None:
    case, received = await by_person(payer, Outcome.MODIFIED)
    rendering = Rendering(payer.settings, load_codes(), SHAPES[version])
    response = claim_response(case, received, rendering, "urn:profile")
    detail = extension_of(response["item"][0], "itemAuthorizedDetail")
    assert detail is not None
    quantities = [part["valueQuantity"] for part in detail["extension"] if part["url"] == "quantity"]
    assert quantities == [{"value": Decimal(40), "unit": "unit"}]
    if version == "2.0.1":
        assert "addItem" not in response
        assert "adjudication" not in response
        return
    (added,) = response["addItem"]
    assert added["itemSequence"] == [1]
    assert (code_of(added), action_of(added)["number"]) == ("A1", "PA0000000001")
    assert added["quantity"] == {"value": Decimal(40), "unit": "unit"}
    assert added["servicedPeriod"] == {"start": "2026-09-08", "end": "2026-11-30"}
    assert added["provider"] == [{"reference": b.PRACTITIONER}]
    assert added["locationCodeableConcept"]["coding"][0]["code"] == "22"
    urls = {one["url"].removeprefix(PAS) for one in added["extension"]}
    assert {"itemTraceNumber", "serviceItemRequestType", "certificationType", "requestedService"} <= urls
    assert {"itemCategory", "itemPreAuthIssueDate", "itemPreAuthPeriod"} <= urls
    (whole,) = response["adjudication"]
    assert whole["extension"][0]["extension"] == [{"url": "number", "valueString": "PA0000000001"}]


async def test_fewer_units_are_certified_in_part_where_the_payer_s_table_says_so(payer: Payer) -> None:
    case, received = await by_person(payer, Outcome.MODIFIED)
    codes = replace(load_codes(), fewer_units=("A2", "Certified - partial"))
    response = claim_response(case, received, Rendering(payer.settings, codes, SHAPES["2.2.1"]), "urn:profile")
    assert code_of(response["item"][0]) == "A2"
    assert code_of(response["addItem"][0]) == "A1"
    assert response["preAuthRef"] == action_of(response["item"][0])["number"]


@pytest.mark.requirement("spec-36", "spec-37")
async def test_other_dates_are_granted_in_the_added_item(payer: Payer) -> None:
    case, received = await by_person(payer, Outcome.MODIFIED)
    dates = DatePeriod(date(2026, 10, 1), date(2026, 10, 31))
    (line,) = case.lines
    changed = replace(line, determination=replace(line.determination, granted=Granted(serviced=dates)))
    rendering = Rendering(payer.settings, load_codes(), SHAPES["2.2.1"])
    response = claim_response(replace(case, lines=(changed,)), received, rendering, "urn:profile")
    (added,) = response["addItem"]
    assert added["servicedPeriod"] == {"start": "2026-10-01", "end": "2026-10-31"}
    assert added["quantity"] == {"value": 61, "unit": "unit"}
    requested = extension_of(response["item"][0], "itemRequestedServiceDate")
    assert requested is not None
    assert requested["valuePeriod"] == {"start": "2026-09-08", "end": "2026-11-30"}


async def test_a_denial_says_how_to_appeal(payer: Payer) -> None:
    case, received = await by_person(payer, Outcome.DENIED)
    rendering = Rendering(payer.settings, load_codes(), SHAPES["2.2.1"])
    response = claim_response(case, received, rendering, "urn:profile")
    note = response["processNote"][-1]
    assert note["text"].startswith(payer.settings.appeal_text)
    assert payer.settings.payer_phone in note["text"]
    assert note["number"] in response["item"][0]["noteNumber"]
    assert "preAuthRef" not in response


@pytest.mark.parametrize(("by", "human"), [(Reviewer("R. Nurse"), True), (Administrative("plan-excludes"), False)])
async def test_who_decided_is_told_without_a_number_that_nobody_has(
    payer: Payer, by: Reviewer | Administrative, *, human: bool
) -> None:
    outcome = Outcome.APPROVED if human else Outcome.DENIED
    case, received = await by_person(payer, outcome)
    (line,) = case.lines
    decided = replace(line.determination, decision=Decision(outcome, by, ("because",)))
    rendering = Rendering(payer.settings, load_codes(), SHAPES["2.2.1"])
    response = claim_response(
        replace(case, lines=(replace(line, determination=decided),)), received, rendering, "urn:profile"
    )
    reviewer = extension_of(response, "claimResponseReviewer")
    assert reviewer is not None
    assert reviewer["extension"] == [{"url": "wasHumanReviewedFlag", "valueBoolean": human}]


async def test_dates_of_a_stay_are_told_in_2_2_1(payer: Payer) -> None:
    codes = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
    claim = b.claim(b.item())
    claim["supportingInfo"] += [
        {"sequence": 2, "category": b.coded(codes, "admissionDates"), "timingPeriod": {"start": "2026-09-08"}},
        {"sequence": 3, "category": b.coded(codes, "dischargeDates"), "timingDate": "2026-09-10"},
    ]
    old, new = [response_of(await payer.submit(b.bundle({b.CLAIM: claim}), version)) for version in VERSIONS]
    admission = extension_of(new["item"][0], "admissionDates")
    assert admission is not None
    assert admission["valuePeriod"] == {"start": "2026-09-08"}
    discharge = extension_of(new["item"][0], "dischargeDate")
    assert discharge is not None
    assert discharge["valueDate"] == "2026-09-10"
    assert extension_of(old["item"][0], "admissionDates") is None
