"""What is kept of each call: PASMetricData, without the patient."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.errors import ServiceError, StoreFailed
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.pas.metrics import METRIC_DATA
from service.pas.routes import build
from service.ports import Exchange
from service.wire import fhir_response
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled, update
from tests.unit.pas.payer import NOW, Payer, response_of

Json = dict[str, Any]


@pytest.fixture
def http(payer: Payer) -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(build(payer.dependencies, "2.2.1"), prefix="/fhir")

    async def refuse(request: Request, error: Exception) -> Response:
        return fhir_response(operation_outcome(error), answer_for(error).status)

    app.add_exception_handler(ServiceError, refuse)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://payer.example.org")


async def measured(payer: Payer, http: httpx.AsyncClient, operation: str, bundle: Json | bytes) -> Json:
    """PASMetricData of one call."""
    body = bundle if isinstance(bundle, bytes) else encode(bundle)
    await http.post(f"/fhir/Claim/${operation}", content=body)
    row = payer.store.exchanges[-1]
    assert (row.kind, row.client, row.request) == (METRIC_DATA, "clinic", b"")
    found: Json = json.loads(row.response)
    assert found["source"] == "payer-src"
    assert found["payerId"] == {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}
    assert found["groupId"] == {"value": "clinic"}
    return found


async def test_an_approval_is_measured(payer: Payer, http: httpx.AsyncClient) -> None:
    bundle = copy.deepcopy(b.bundle())
    assertion = {"url": "coverage-assertion-id", "valueString": "assertion-1"}
    order = next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "MedicationRequest")
    url = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
    order["extension"] = [{"url": url, "extension": [assertion]}]
    found = await measured(payer, http, "submit", bundle)
    assert found["providerId"]["value"] == "1003000126"
    (exchange,) = found["exchange"]
    assert (exchange["type"], exchange["with"], exchange["method"]) == ("initial", "provider", "restful")
    assert (exchange["requestTime"], exchange["httpResponse"]) == (NOW.isoformat(), "200")
    (item,) = found["itemDetail"]
    assert item["item"] == {"coding": [{"system": b.HCPCS, "code": "J9026"}]}
    assert (item["result"], item["assertionId"]) == ("approved", "assertion-1")
    assert item["finalResponseTime"] == NOW.isoformat()
    assert "issue" not in found


async def test_what_waits_has_no_final_time_and_says_what_was_asked(payer: Payer, http: httpx.AsyncClient) -> None:
    answers = {name: value for name, value in b.ANSWERS.items() if name != "es-sclc"}
    found = await measured(payer, http, "submit", b.bundle({b.RESPONSE: b.response(answers)}))
    (item,) = found["itemDetail"]
    assert item["result"] == "pended"
    assert "finalResponseTime" not in item
    (asked,) = found["requestedDoc"]
    assert asked["timeRequested"] == NOW.isoformat()
    assert "timeSubmitted" not in asked


async def test_updates_and_cancellations_are_told_apart(payer: Payer, http: httpx.AsyncClient) -> None:
    await measured(payer, http, "submit", b.bundle())
    changed = await measured(payer, http, "submit", update(b.item(quantity={"value": 9, "unit": "unit"})))
    gone = await measured(payer, http, "submit", update(cancelled(b.item()), number=3))
    assert [found["exchange"][0]["type"] for found in (changed, gone)] == ["update", "cancel"]
    assert gone["itemDetail"][0]["result"] == "cancelled"


async def test_a_refusal_is_measured_by_its_codes(payer: Payer, http: httpx.AsyncClient) -> None:
    other = await measured(payer, http, "submit", b.bundle({b.INSURER: b.insurer("OTHER")}))
    assert other["aaaCodes"] == [{"loopID": "2010A", "aaaCode": "T4"}]
    assert "result" not in other["itemDetail"][0]
    broken = await measured(payer, http, "submit", b"{not json")
    assert broken["exchange"][0]["httpResponse"] == "400"
    assert broken["issue"]
    assert "itemDetail" not in broken


async def test_an_inquiry_is_a_query(payer: Payer, http: httpx.AsyncClient) -> None:
    found = await measured(payer, http, "inquire", b.bundle())
    assert found["exchange"][0]["type"] == "query"


async def test_nothing_of_the_patient_is_measured(payer: Payer, http: httpx.AsyncClient) -> None:
    item = b.item(productOrService={"text": "for Jan Doe born 1958-02-03"})
    text = json.dumps(await measured(payer, http, "submit", b.bundle({b.CLAIM: b.claim(item)})))
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
