"""What is kept of each call: PASMetricData, without the patient."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.errors import ServiceError, StoreFailed
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.pas.deadlines import Deadlines, LineOfBusiness
from service.pas.metrics import METRIC_DATA
from service.pas.routes import build
from service.policy.case import Case
from service.ports import Exchange
from service.wire import fhir_response
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled, update
from tests.unit.pas.payer import NOW, Payer, response_of
from tests.unit.pas.test_attachment import sent

Json = dict[str, Any]
SUBMIT = "Claim/$submit"


@pytest.fixture
def http(payer: Payer) -> httpx.AsyncClient:
    return served(payer)


def served(payer: Payer) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(build(payer.dependencies, "2.2.1"), prefix="/fhir")

    async def refuse(request: Request, error: Exception) -> Response:
        return fhir_response(operation_outcome(error), answer_for(error).status)

    app.add_exception_handler(ServiceError, refuse)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://payer.example.org")


async def measured(payer: Payer, http: httpx.AsyncClient, operation: str, bundle: Json | bytes) -> Json:
    """PASMetricData of one call."""
    body = bundle if isinstance(bundle, bytes) else encode(bundle)
    await http.post(f"/fhir/{operation}", content=body)
    row = payer.store.exchanges[-1]
    assert (row.kind, row.client, row.request) == (METRIC_DATA, "clinic", b"")
    found: Json = json.loads(row.response)
    assert found["source"] == "payer-src"
    assert found["payerId"] == {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}
    return found


NPI = "http://hl7.org/fhir/sid/us-npi"
CLINIC_NPI = {"system": NPI, "value": "1245319599"}


@pytest.mark.requirement("metric-1", "metric-2")
async def test_an_approval_is_measured(payer: Payer, http: httpx.AsyncClient) -> None:
    bundle = copy.deepcopy(b.bundle())
    assertion = {"url": "coverage-assertion-id", "valueString": "assertion-1"}
    order = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest")
    url = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
    order["extension"] = [{"url": url, "extension": [assertion]}]
    found = await measured(payer, http, SUBMIT, bundle)
    assert found["providerId"]["value"] == "1003000126"
    assert found["groupId"] == CLINIC_NPI
    (exchange,) = found["exchange"]
    assert (exchange["type"], exchange["with"], exchange["method"]) == ("initial", "provider", "restful")
    assert (exchange["requestTime"], exchange["httpResponse"]) == (NOW.isoformat(), "200")
    (item,) = found["itemDetail"]
    assert item["item"] == {"coding": [{"system": b.HCPCS, "code": "J9026"}]}
    assert (item["result"], item["assertionId"]) == ("approved", "assertion-1")
    assert item["finalResponseTime"] == NOW.isoformat()
    assert (item["responsesRequired"], item["locationType"]) == (1, "outpatient")
    assert found["supportingDoc"] == b.FORM
    assert "issue" not in found


async def test_what_waits_has_no_final_time_and_says_what_was_asked(payer: Payer, http: httpx.AsyncClient) -> None:
    answers = {name: value for name, value in b.ANSWERS.items() if name != "es-sclc"}
    found = await measured(payer, http, SUBMIT, b.bundle({b.RESPONSE: b.response(answers)}))
    (item,) = found["itemDetail"]
    assert (item["result"], item["responsesRequired"]) == ("pended", 1)
    assert "finalResponseTime" not in item
    (asked,) = found["requestedDoc"]
    assert asked["timeRequested"] == NOW.isoformat()
    assert "timeSubmitted" not in asked


@pytest.mark.requirement("metric-2")
async def test_updates_and_cancellations_are_told_apart(payer: Payer, http: httpx.AsyncClient) -> None:
    await measured(payer, http, SUBMIT, b.bundle())
    changed = await measured(payer, http, SUBMIT, update(b.item(quantity={"value": 9, "unit": "unit"})))
    gone = await measured(payer, http, SUBMIT, update(cancelled(b.item()), number=3))
    assert [found["exchange"][0]["type"] for found in (changed, gone)] == ["update", "cancel"]
    assert gone["itemDetail"][0]["result"] == "cancelled"


async def test_each_answer_on_the_way_to_a_decision_is_counted(payer: Payer, http: httpx.AsyncClient) -> None:
    """Pended, still pended after a change, decided by what was asked for: three for the first line."""
    without = b.response({})
    await measured(payer, http, SUBMIT, b.bundle({b.RESPONSE: without}))
    payer.clock.advance(timedelta(days=1))
    items = (b.item(quantity={"value": 9, "unit": "unit"}), b.item(2))
    changed = await measured(payer, http, SUBMIT, update(*items, changed={b.RESPONSE: without}))
    first, second = changed["itemDetail"]
    assert (first["responsesRequired"], second["responsesRequired"]) == (2, 1)
    assert first["initialSubmissionTime"] == NOW.isoformat()
    assert second["initialSubmissionTime"] == (NOW + timedelta(days=1)).isoformat()
    case = (await payer.cases())[0]
    number = next(one.control_number for one in case.asked if one.sequence == 1 and one.answered_at is None)
    document = sent(number, b.response())
    decided = await measured(payer, http, "$submit-attachment", document)
    assert decided["exchange"][0]["type"] == "initialDocToPayer"
    assert decided["itemDetail"][0]["responsesRequired"] == 3
    assert decided["itemDetail"][0]["result"] == "approved"
    methods = [one.get("submissionMethod") for one in decided["requestedDoc"]]
    assert methods.count("CDex") == 1
    # What an update answered did not come as an attachment.
    assert methods.count("other") == 1
    again = await measured(
        payer, http, "$submit-attachment", sent(document_number(case, 2), b.response() | {"id": "other"})
    )
    assert again["exchange"][0]["type"] == "subsequent"


def document_number(case: Case, sequence: int) -> str:
    return next(one.control_number for one in case.asked if one.sequence == sequence)


async def test_the_line_of_business_is_the_payer_s_and_the_coverage_s(payer: Payer, http: httpx.AsyncClient) -> None:
    coded = b.coded("http://terminology.hl7.org/CodeSystem/v3-ActCode", "EHCPOL")
    own = LineOfBusiness("Medicare Advantage", frozenset({f"{coded['coding'][0]['system']}|EHCPOL"}), frozenset(), {})
    payer.dependencies = replace(payer.dependencies, deadlines=Deadlines((own,)))
    app = served(payer)
    found = await measured(payer, app, SUBMIT, b.bundle({b.COVERAGE: b.coverage(type=coded)}))
    assert found["businessLine"] == {"coding": coded["coding"], "text": "Medicare Advantage"}
    plain = await measured(payer, app, SUBMIT, b.bundle())
    assert "businessLine" not in plain


async def test_a_place_of_no_known_kind_is_not_told(payer: Payer, http: httpx.AsyncClient) -> None:
    place = b.coded("https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "99")
    claim = b.claim(b.item(1, locationCodeableConcept=place))
    found = await measured(payer, http, SUBMIT, b.bundle({b.CLAIM: claim}))
    assert "locationType" not in found["itemDetail"][0]


async def test_a_role_s_organization_is_the_group(payer: Payer, http: httpx.AsyncClient) -> None:
    found = await measured(payer, http, SUBMIT, b.bundle({b.CLAIM: b.claim(provider=b.refer(b.ROLE))}))
    assert found["groupId"] == CLINIC_NPI


async def test_a_refusal_is_measured_by_its_codes(payer: Payer, http: httpx.AsyncClient) -> None:
    other = await measured(payer, http, SUBMIT, b.bundle({b.INSURER: b.insurer("OTHER")}))
    assert other["aaaCodes"] == [{"loopID": "2010A", "aaaCode": "T4"}]
    assert "result" not in other["itemDetail"][0]
    broken = await measured(payer, http, SUBMIT, b"{not json")
    assert broken["exchange"][0]["httpResponse"] == "400"
    assert broken["groupId"] == {"value": "clinic"}
    (issue,) = broken["issue"]
    assert issue["details"]["text"]
    assert "itemDetail" not in broken


async def test_an_inquiry_is_a_query(payer: Payer, http: httpx.AsyncClient) -> None:
    found = await measured(payer, http, "Claim/$inquire", b.bundle())
    assert found["exchange"][0]["type"] == "query"


async def test_nothing_of_the_patient_is_measured(payer: Payer, http: httpx.AsyncClient) -> None:
    item = b.item(productOrService={"text": "for Jan Doe born 1958-02-03"})
    text = json.dumps(await measured(payer, http, SUBMIT, b.bundle({b.CLAIM: b.claim(item)})))
    for private in ("M000123", "Doe", "1958", "C34.90", b.PATIENT):
        assert private not in text


async def test_an_answer_is_given_though_it_cannot_be_measured(
    payer: Payer, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*exchanges: Exchange) -> None:
        raise StoreFailed("full")

    monkeypatch.setattr(payer.store, "log_exchange", fail)
    answer = await http.post("/fhir/Claim/$submit", content=encode(b.bundle()))
    assert response_of(answer.json())["outcome"] == "complete"
