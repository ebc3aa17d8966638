"""The card that says what the record answers, with the record read from the EHR."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from service.app.chart_reader import ChartReader
from service.app.parts import Rules
from service.crd.routes import CrdDependencies, build
from service.ehr.client import HttpEhrClients, open_ehr_clients
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock
from tests.unit.crd.test_chart_view import ORDER, SCLC, condition
from tests.unit.crd.world import NOW, anyone, coverage, medication_request, patient, payer, request, searchset
from tests.unit.ehr.server import TOKEN, Asked, FhirServer, Json, fhir, outcome, served, together

SENT = {"patient": patient(), "coverage": searchset(coverage(), payer()), "practitioners": None}
Hook = Callable[..., Any]


@pytest.fixture
async def card(rules: Rules) -> AsyncIterator[Hook]:
    """The first card's detail, for an order under the repository's policy."""
    settings = Settings(demo=True, trust_presented_coverage=True, hook_seconds=20, ehr_seconds=20)
    clients: HttpEhrClients = open_ehr_clients(settings, rules.check)
    dependencies = CrdDependencies(
        settings=settings,
        registry=rules.registry,
        store=MemoryStore(),
        clock=FrozenClock(NOW),
        ids=CountingIds(),
        access=anyone,
        check=rules.check,
        read_chart=ChartReader(rules.engine, FrozenClock(NOW)),
        ehr=clients,
    )
    app = FastAPI()
    app.include_router(build(dependencies))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://payer.test")

    async def post(server: FhirServer, order: Json = ORDER, **changes: Any) -> str:
        authorization = {"access_token": TOKEN, "token_type": "Bearer"}
        given: Json = {"prefetch": SENT, "fhirServer": server.base, "fhirAuthorization": authorization, **changes}
        response = await http.post(
            f"/cds-services/{given.get('hook', 'order-sign')}-crd", json=request(order, **given)
        )
        assert response.status_code == 200, response.text
        cards = response.json()["cards"]
        return str(cards[0]["detail"]) if cards else ""

    yield post
    await http.aclose()
    await clients.close()


def chart_of(*conditions: Json, **different: Response) -> Callable[[Asked], Response]:
    def answer(asked: Asked) -> Response:
        kind = asked.path.split("/")[2]
        return different.get(kind) or fhir(searchset(*(conditions if kind == "Condition" else ())))

    return answer


@pytest.mark.requirement("CRD resp-39")
async def test_the_record_is_read_for_the_card(card: Hook) -> None:
    with served(chart_of(condition())) as server:
        answered, _, left = (await card(server)).partition("Still to be answered")
    assert f"- {SCLC} yes" in answered
    assert left


async def test_a_record_that_holds_nothing_leaves_the_questions_open(card: Hook) -> None:
    with served(chart_of()) as server:
        answered, _, left = (await card(server)).partition("Still to be answered")
    assert "1958-02-03" in answered
    assert f"- {SCLC}" in left


async def test_somebody_elses_record_is_not(card: Hook) -> None:
    with served(chart_of(condition("Patient/p2"))) as server:
        assert f"{SCLC} yes" not in await card(server)


async def test_a_record_with_holes_is_not_told_of(card: Hook) -> None:
    with served(chart_of(condition(), Observation=fhir(outcome(), 500))) as server:
        detail = await card(server)
    assert f"{SCLC} yes" not in detail
    assert any("Observation" in path for path in server.paths())


async def test_no_chart_is_read_for_another_drug_or_without_a_token(card: Hook) -> None:
    with served(chart_of(condition())) as server:
        await card(server, medication_request())
        await card(server, fhirAuthorization=None)
        await card(server, hook="order-select")
    assert server.asked == []


def whole_ehr(asked: Asked) -> Response:
    """Answers every read: the patient, the coverage, and one condition."""
    kind = asked.path.split("/")[2]
    if kind == "Patient":
        return fhir(patient())
    found = {"Coverage": (coverage(), payer()), "Condition": (condition(),)}
    return fhir(searchset(*found.get(kind, ())))


async def test_the_record_is_asked_for_together_with_what_is_missing(card: Hook) -> None:
    """Patient, Coverage and the six types that the policy reads: asked one after the other, none is ever answered."""
    with served(together(8, whole_ehr)) as server:
        detail = await card(server, prefetch={"practitioners": None})
    assert f"- {SCLC} yes" in detail
    assert len(server.asked) == 8


@pytest.mark.parametrize(
    "order",
    [medication_request(), {**ORDER, "subject": {"reference": "Patient/p2"}}],
    ids=["another drug", "another patient"],
)
async def test_no_record_is_asked_for_early_without_need(card: Hook, order: Json) -> None:
    with served(whole_ehr) as server:
        await card(server, order, prefetch={"practitioners": None})
        await card(server, ORDER, prefetch={"practitioners": None}, hook="order-select")
        await card(
            server,
            ORDER,
            prefetch={"practitioners": None},
            extension={"davinci-crd.configuration": {"claim": False}},
        )
    assert {path.partition("/")[0] for path in server.paths()} == {"Patient", "Coverage"}
