"""One order through the whole application: select, sign, form, request, and what the next signature is told."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app.compose import create_app
from service.app.parts import database_url
from service.policy.case import MemberId
from service.settings import Settings
from service.store.sql import open_store
from tests.doubles import FrozenClock
from tests.unit.crd.world import blocks, facts, searchset
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import NOW, code_of, response_of

Json = dict[str, Any]
SETTINGS = Settings(demo=True, trust_presented_coverage=True)


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(SETTINGS, tmp_path, clock=FrozenClock(NOW))
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@dataclass(frozen=True)
class Ehr:
    """An EHR that speaks one version of the guides; its patient and coverage are those of the request."""

    http: httpx.AsyncClient
    version: str
    coverage: Json = field(default_factory=lambda: {**b.coverage(), "id": "c9", "beneficiary": b.refer("Patient/p9")})
    patient: Json = field(default_factory=lambda: {**b.patient(), "id": "p9"})

    async def post(self, path: str, body: Json) -> Json:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    async def hook(self, hook: str, order: Json) -> Json:
        """The order as it stands after the answer."""
        context: Json = {
            "userId": "Practitioner/d1",
            "patientId": "p9",
            "draftOrders": {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]},
        }
        if hook == "order-select":
            context["selections"] = [f"MedicationRequest/{order['id']}"]
        payer = {**b.insurer(), "id": "payer"}
        coverage = {**self.coverage, "payor": [b.refer("Organization/payer")]}
        body = {
            "hook": hook,
            "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
            "context": context,
            "prefetch": {"patient": self.patient, "coverage": searchset(coverage, payer)},
            "extension": {"davinci-crd.requestedVersion": self.version},
        }
        actions = (await self.post(f"/cds-services/{hook}-crd", body))["systemActions"]
        after: Json = actions[0]["resource"] if actions else order
        return after


def order(number: str, **changes: Any) -> Json:
    return {
        **b.order(),
        "id": number,
        "subject": b.refer("Patient/p9"),
        "dispenseRequest": {"validityPeriod": {"start": "2026-09-08"}},
        **changes,
    }


def told(resource: Json) -> dict[str, list[Any]]:
    [block] = blocks(resource)
    return facts(block)


@pytest.mark.parametrize(("version", "base"), [("2.2", "/fhir"), ("2.0", "/2.0.1/fhir")])
@pytest.mark.requirement("CRD found-9", "CRD found-11", "CRD resp-36", "CRD found-4")
@pytest.mark.requirement("PAS spec-3")
async def test_one_order_from_selection_to_satisfied(
    http: httpx.AsyncClient, tmp_path: Path, version: str, base: str
) -> None:
    ehr = Ehr(http, version)
    selected = told(await ehr.hook("order-select", order("draft-1")))
    assert selected["pa-needed"] == ["auth-needed"]
    assertion_id = selected["coverage-assertion-id"][0]

    # The EHR kept nothing of ours, and gave the order an id of its own.
    signed = await ehr.hook("order-sign", order("77", status="active"))
    assert told(signed)["coverage-assertion-id"] == [assertion_id]
    [canonical] = told(signed)["questionnaire"]

    parameters = [
        {"name": "coverage", "resource": ehr.coverage},
        {"name": "context", "valueString": assertion_id},
    ]
    package = await ehr.post(
        f"{base}/Questionnaire/$questionnaire-package", {"resourceType": "Parameters", "parameter": parameters}
    )
    # A single answer may be the Bundle itself.
    bundle = package["parameter"][0]["resource"] if package["resourceType"] == "Parameters" else package
    forms = [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Questionnaire"]
    assert f"{forms[0]['url']}|{forms[0]['version']}" == canonical

    sent = copy.deepcopy(signed) | {"subject": b.refer(b.PATIENT), "id": b.order()["id"]}
    answer = await ehr.post(
        f"{base}/Claim/$submit", b.bundle({b.ORDER: sent, b.RESPONSE: b.response(questionnaire=canonical)})
    )
    response = response_of(answer)
    assert code_of(response["item"][0]) == "A1"

    again = told(await ehr.hook("order-sign", signed))
    assert again["pa-needed"] == ["satisfied"]
    assert again["satisfied-pa-id"] == [response["preAuthRef"]]
    assert again["coverage-assertion-id"] == [assertion_id]
    # So says the answer to an order that carries nothing, too.
    bare = told(await ehr.hook("order-sign", order("77", status="active")))
    assert (bare["satisfied-pa-id"], bare["coverage-assertion-id"]) == ([response["preAuthRef"]], [assertion_id])
    # The case on file leads back to what was said first.
    store = open_store(database_url(SETTINGS, tmp_path))
    [(case, _)] = await store.cases_of(MemberId("M000123"))
    await store.close()
    assert [line.assertion_id for line in case.lines] == [assertion_id]
