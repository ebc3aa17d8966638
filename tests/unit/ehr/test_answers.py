"""The hook's answer where the EHR gives all, part, or nothing of what was not sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from service.crd.routes import CrdDependencies, build
from service.ehr.client import open_ehr_clients
from service.fhir.parse import StructureCheck
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock
from tests.unit.crd.world import NOW, OneDrug, anyone, coverage, payer, request, said, searchset
from tests.unit.ehr.server import TOKEN, Asked, Json, closed_port, fhir, never, outcome, served
from tests.unit.ehr.test_gather import BY_REFERENCE, CODED, but, good

Answer = Callable[..., Awaitable[httpx.Response]]
SENT = {"coverage": searchset(coverage(), payer())}


@pytest.fixture
async def answer(check: StructureCheck) -> AsyncIterator[Answer]:
    """Posts a hook to a payer that may call this machine, with `seconds` for a hook."""
    ended: list[Callable[[], Awaitable[None]]] = []

    async def post(
        server: str | None,
        *orders: Json,
        seconds: float = 20.0,
        ehr_seconds: float = 20.0,
        version: str | None = None,
        **changes: Any,
    ) -> httpx.Response:
        settings = Settings(demo=True, trust_presented_coverage=True, hook_seconds=seconds, ehr_seconds=ehr_seconds)
        clients = open_ehr_clients(settings, check)
        store = MemoryStore()
        dependencies = CrdDependencies(
            settings=settings,
            registry=OneDrug(),
            store=store,
            clock=FrozenClock(NOW),
            ids=CountingIds(),
            access=anyone,
            check=check,
            ehr=clients,
        )
        app = FastAPI()
        app.include_router(build(dependencies))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://payer.test")
        ended.extend((http.aclose, clients.close))
        authorization = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300}
        body = request(
            *orders,
            version=version or "2.2",
            **{"prefetch": {}, "fhirServer": server, "fhirAuthorization": authorization, **changes},
        )
        response = await http.post(f"/cds-services/{body['hook']}-crd", json=body)
        assert TOKEN not in response.text
        return response

    yield post
    for end in ended:
        await end()


def texts(response: httpx.Response) -> list[str]:
    return [reason["text"] for reason in said(response.json())["reason"]]


def codes(response: httpx.Response) -> list[str]:
    return [c["code"] for reason in said(response.json())["reason"] for c in reason.get("coding", ())]


@pytest.mark.requirement("CRD found-5")
async def test_an_order_without_any_prefetch_is_answered_from_the_ehr(answer: Answer) -> None:
    medication = {"resourceType": "Medication", "id": "m1", "code": CODED["medicationCodeableConcept"]}
    with served(but(Medication=medication)) as server:
        response = await answer(server.base, BY_REFERENCE)
    facts = said(response.json())
    assert (facts["covered"], facts["pa-needed"]) == (["covered"], ["auth-needed"])
    assert facts["coverage"] == [{"reference": "Coverage/cov1"}]
    assert not any("EHR" in text for text in texts(response))


@pytest.mark.parametrize("version", ["2.2", "2.0"])
@pytest.mark.requirement("CRD covinfo-2")
async def test_what_the_ehr_did_not_give_is_mentioned_where_it_decides_nothing(answer: Answer, version: str) -> None:
    with served(but(Patient=fhir(outcome(), 500))) as server:
        response = await answer(server.base, version=version)
    assert said(response.json())["covered"] == ["covered"]
    assert "The patient's record could not be read from the EHR." in texts(response)


@pytest.mark.requirement("CRD resp-43", "CRD found-32")
async def test_a_medication_that_cannot_be_read_leaves_the_answer_open(answer: Answer) -> None:
    with served(but(Medication=fhir(outcome(), 500))) as server:
        response = await answer(server.base, BY_REFERENCE)
        older = await answer(server.base, BY_REFERENCE, version="2.0")
    assert response.status_code == older.status_code == 200
    assert said(response.json())["covered"] == ["indeterminate"]
    assert codes(response) == ["technical"]
    assert texts(response) == ["The medication could not be read from the EHR."]
    assert said(older.json())["covered"] == ["conditional"]
    assert any("could not be read from the EHR" in text for text in texts(older))


@pytest.mark.requirement("CRD resp-43")
async def test_a_payer_that_cannot_be_read_is_neither_ours_nor_foreign(answer: Answer) -> None:
    with served(but(Coverage=searchset(coverage()), Organization=fhir(outcome(), 500))) as server:
        response = await answer(server.base)
    assert response.status_code == 200
    assert said(response.json())["covered"] == ["indeterminate"]
    assert any("payer" in text and "EHR" in text for text in texts(response))


async def test_a_payer_that_was_read_and_is_foreign_is_refused(answer: Answer) -> None:
    with served(but(Coverage=searchset(coverage(), payer("OTHER")))) as server:
        response = await answer(server.base)
    assert response.status_code == 400


@pytest.mark.parametrize("server", [None, "https://10.0.0.1/fhir", "https://ehr.example.org/fhir"])
@pytest.mark.requirement("CRD hook-9")
async def test_a_coverage_that_cannot_be_asked_for_is_a_412_that_names_the_key(
    answer: Answer, server: str | None
) -> None:
    response = await answer(server)
    assert response.status_code == 412
    assert "prefetch.coverage" in response.json()["issue"][0]["diagnostics"]


async def test_a_coverage_that_the_ehr_does_not_give_is_a_412_that_says_so(answer: Answer) -> None:
    response = await answer(f"http://127.0.0.1:{closed_port()}/fhir")
    assert response.status_code == 412
    assert "could not be read" in response.json()["issue"][0]["diagnostics"]


@pytest.mark.requirement("CRD hook-13", "CRD found-32")
async def test_a_patient_without_coverage_is_refused_as_before(answer: Answer) -> None:
    with served(but(Coverage=searchset())) as server:
        response = await answer(server.base)
    assert response.status_code == 400


@pytest.mark.requirement("CRD found-2", "CRD found-34", "CRD impl-2")
async def test_a_slow_ehr_does_not_keep_the_answer(answer: Answer) -> None:
    # Without the hook's own deadline one request could take 30 seconds.
    with served(never) as server:
        async with asyncio.timeout(15):
            response = await answer(server.base, prefetch=SENT, seconds=0.6, ehr_seconds=30)
    assert said(response.json())["covered"] == ["covered"]
    assert any("could not be read from the EHR" in text for text in texts(response))


async def test_a_dispatched_order_is_read_and_answered(answer: Answer) -> None:
    own = {**CODED, "id": "mr7", "status": "active"}

    def holds_the_order(asked: Asked) -> Response:
        return fhir(own) if asked.path == "/fhir/MedicationRequest/mr7" else good(asked)

    context = {"patientId": "p1", "performer": "Organization/x", "dispatchedOrders": ["MedicationRequest/mr7"]}
    with served(holds_the_order) as server:
        response = await answer(server.base, hook="order-dispatch", context=context)
    (action,) = response.json()["systemActions"]
    assert action["resource"]["id"] == "mr7"
    assert said(response.json())["pa-needed"] == ["auth-needed"]
