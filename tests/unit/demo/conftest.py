"""A payer that answers as the guides say, and the demo EHR in front of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from service.demo.ehr import DemoEhr, Surroundings
from service.demo.payer import Payer
from service.demo.prefill import Filling
from service.demo.routes import DemoDependencies, build
from service.demo.smart import Authorization
from service.ehr.app_key import new_key
from service.errors import ServiceError
from service.fhir.build import Json, bundle, entry, parameter, parameters
from service.fhir.outcome import answer_for, operation_outcome
from service.policy.finding import Evidence
from service.ports import Clock
from service.settings import Settings
from service.wire import fhir_response
from tests.doubles import CountingIds, FrozenClock

QUESTIONNAIRES = Path(__file__).parents[3] / "questionnaires"
NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
COVERAGE_INFORMATION = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
REVIEW_ACTION = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction"


def questionnaire(name: str) -> Json:
    form: Json = json.loads((QUESTIONNAIRES / f"{name}.json").read_text())
    return form


def claim_response(code: str, **rest: Any) -> Json:
    """A PAS response Bundle with one line of that review action."""
    action = {
        "url": REVIEW_ACTION,
        "extension": [
            {"url": f"{REVIEW_ACTION}Code", "valueCodeableConcept": {"coding": [{"code": code}]}},
        ],
    }
    line = {"itemSequence": 1, "noteNumber": [1], "adjudication": [{"extension": [action]}]}
    response = {"resourceType": "ClaimResponse", "id": "case-1", "outcome": "complete", "item": [line], **rest}
    return bundle("collection", [entry("https://payer.example.org/fhir/ClaimResponse/case-1", response)])


@dataclass
class FakePayer:
    """Keeps what it was sent, by path; answers from `answers` where the test sets one."""

    sent: list[tuple[str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def requests_to(self, path: str) -> list[Any]:
        return [body for sent_to, body in self.sent if sent_to == path]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        path = request.url.path
        self.sent.append((path, body))
        status, answer = self.answers[path] if path in self.answers else (200, self._answer(path, body))
        return httpx.Response(status, json=answer)

    def _answer(self, path: str, body: Any) -> Json:
        if path == "/cds-services":
            prefetch = {
                "patient": "Patient/{{context.patientId}}",
                "coverage": "Coverage?patient={{context.patientId}}&status=active",
                "encounter": "Encounter/{{context.encounterId}}",
                "practitioners": "Practitioner?_id={{...}}",
            }
            ids = ("order-sign-crd", "order-select-crd")
            return {"services": [{"id": service_id, "prefetch": prefetch} for service_id in ids]}
        if path.startswith("/cds-services/"):
            return self._hook(body)
        if path.endswith("$questionnaire-package"):
            packed = bundle("collection", [entry("https://payer.example.org/q", questionnaire("imdelltra-initial"))])
            return parameters(parameter("packagebundle", resource=packed))
        if path.endswith("$submit"):
            return claim_response("A1", preAuthRef="PA-1", preAuthPeriod={"start": "2026-12-02", "end": "2027-12-01"})
        raise AssertionError(path)

    def _hook(self, body: Any) -> Json:
        order = body["context"]["draftOrders"]["entry"][0]["resource"]
        told = [
            {"url": "coverage", "valueReference": {"reference": "Coverage/1"}},
            {"url": "covered", "valueCode": "covered"},
            {"url": "pa-needed", "valueCode": "auth-needed"},
        ]
        if body["hook"] == "order-sign":
            told += [
                {"url": "doc-needed", "valueCode": "clinical"},
                {"url": "questionnaire", "valueCanonical": "https://payer.example.org/fhir/Questionnaire/form|1.0.0"},
                {"url": "coverage-assertion-id", "valueString": "assertion-1"},
            ]
        updated = {**order, "extension": [{"url": COVERAGE_INFORMATION, "extension": told}]}
        card = {"summary": "Prior authorization", "indicator": "info", "source": {"label": "Example Health Plan"}}
        return {"cards": [card], "systemActions": [{"type": "update", "description": "x", "resource": updated}]}


async def fill(form: Json, records: Sequence[Json], patient_id: str) -> Filling:
    """The birth date and the diagnosis, as a form's logic would find them."""
    patient = next(r for r in records if r["resourceType"] == "Patient" and r["id"] == patient_id)
    items = [
        {"linkId": "birth-date", "answer": [{"valueDate": patient["birthDate"]}]},
        {"linkId": "group", "item": [{"linkId": "es-sclc", "answer": [{"valueBoolean": True}]}]},
    ]
    evidence = {"es-sclc": [Evidence("Condition", "code", "Extensive-stage small cell lung cancer")]}
    return items, evidence


@pytest.fixture
def payer() -> FakePayer:
    return FakePayer()


@pytest.fixture
async def client(payer: FakePayer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(payer), base_url="http://payer.test") as made:
        yield made


@pytest.fixture
def ehr(client: httpx.AsyncClient) -> DemoEhr:
    settings = Settings()
    return DemoEhr(Surroundings(settings, FrozenClock(NOW), CountingIds(), Payer(client, settings), fill))


APP_KEY = new_key()
EHR_BASE = "http://127.0.0.1:8080/demo/fhir"
CALLBACK = "http://127.0.0.1:8080/dtr/callback"


def authorization(clock: Clock) -> Authorization:
    """The clinic's SMART server, with our app registered."""

    async def app_keys() -> dict[str, Any]:
        return {"keys": [APP_KEY.public()]}

    oauth = EHR_BASE.replace("/fhir", "/oauth")
    return Authorization(EHR_BASE, oauth, CALLBACK, (clock, new_key(), app_keys))


@pytest.fixture
async def browser(client: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client in front of the demo's pages, on this machine."""
    app = FastAPI()
    clock = FrozenClock(NOW)
    app.include_router(
        build(DemoDependencies(Settings(), clock, CountingIds(), client, fill, authorization(clock))), prefix="/demo"
    )

    async def refuse(request: Request, error: Exception) -> Response:
        return fhir_response(operation_outcome(error), answer_for(error).status)

    app.add_exception_handler(ServiceError, refuse)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as made:
        yield made
