"""An encounter whose orders the EHR does not give: unknown is said, and never passed off as nothing to do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from service.crd.routes import METRIC_DATA, CrdDependencies, build
from service.ehr.client import open_ehr_clients
from service.fhir.parse import StructureCheck
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock
from tests.unit.crd.world import NOW, OneDrug, anyone, coverage, payer, request, said, searchset
from tests.unit.ehr.server import TOKEN, Asked, Json, fhir, outcome, served
from tests.unit.ehr.test_gather import BY_REFERENCE, CODED, but

FAILED = fhir(outcome(), 500)
ACTIVE = {**CODED, "id": "mr7", "status": "active"}
UNREAD = "Active orders could not be checked for prior authorization"
HOOKS = pytest.mark.parametrize("hook", ["encounter-start", "encounter-discharge"])
Post = Callable[..., Any]


@pytest.fixture
async def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def post(check: StructureCheck, store: MemoryStore) -> AsyncIterator[Post]:
    """Posts a hook to a payer that may call this machine."""
    settings = Settings(demo=True, trust_presented_coverage=True, hook_seconds=20, ehr_seconds=20)
    clients = open_ehr_clients(settings, check)
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

    async def send(server: str | None, hook: str = "encounter-start", **changes: Any) -> httpx.Response:
        context = {"userId": "Practitioner/d1", "patientId": "p1", "encounterId": "e1"}
        authorization = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300}
        given = {"prefetch": {}, "context": context, "fhirServer": server, "fhirAuthorization": authorization}
        if hook == "order-sign":
            del given["context"]
        return await http.post(f"/cds-services/{hook}-crd", json=request(hook=hook, **{**given, **changes}))

    yield send
    await http.aclose()
    await clients.close()


def orders(*found: Json, **different: Json | Response) -> Callable[[Asked], Response]:
    return but(**{"MedicationRequest": searchset(*found), "ServiceRequest": searchset(), **different})


@HOOKS
@pytest.mark.parametrize("kind", ["MedicationRequest", "ServiceRequest"])
async def test_orders_that_cannot_be_searched_are_told_of(post: Post, hook: str, kind: str) -> None:
    with served(orders(**{kind: FAILED})) as server:
        answer = (await post(server.base, hook)).json()
    (card,) = answer["cards"]
    assert "systemActions" not in answer
    assert (card["summary"], card["indicator"]) == (UNREAD, "info")
    assert "could be read from the EHR" in card["detail"]
    assert card["source"]["topic"]["code"]
    assert card["extension"]["davinci-crd.associated-resource"] == ["Encounter/e1"]
    assert not {"links", "suggestions"} & set(card)


async def test_what_was_found_is_answered_beside_what_was_not(post: Post) -> None:
    with served(orders(ACTIVE, ServiceRequest=FAILED)) as server:
        answer = (await post(server.base)).json()
    assert said(answer)["pa-needed"] == ["auth-needed"]
    assert [card["summary"] == UNREAD for card in answer["cards"]] == [False, False, True]


async def test_an_order_whose_drug_cannot_be_read_is_told_of(post: Post) -> None:
    with served(orders({**BY_REFERENCE, "status": "active"}, Medication=FAILED)) as server:
        answer = (await post(server.base)).json()
    assert [card["summary"] for card in answer["cards"]] == [UNREAD]


async def test_with_all_orders_read_and_none_of_ours_nothing_is_said(post: Post) -> None:
    with served(orders({**ACTIVE, "medicationCodeableConcept": {"text": "Aspirin"}}, Patient=FAILED)) as server:
        assert (await post(server.base)).json() == {"cards": []}


async def test_a_clients_own_failed_search_is_told_of_where_nothing_can_be_asked(post: Post) -> None:
    failed = {"medicationRequests": outcome(), "serviceRequests": None}
    answer = (await post(None, prefetch=failed, fhirAuthorization=None)).json()
    assert [card["summary"] for card in answer["cards"]] == [UNREAD]


@pytest.mark.parametrize("configuration", [{"claim": False}, {"max-cards": 0}])
async def test_a_client_that_wants_no_such_card_gets_none(post: Post, configuration: Json) -> None:
    with served(orders(MedicationRequest=FAILED)) as server:
        extension = {"davinci-crd.configuration": configuration}
        assert (await post(server.base, extension=extension)).json() == {"cards": []}


@pytest.mark.parametrize(
    ("hook", "answer", "status", "use"),
    [
        ("order-sign", but(Coverage=fhir(outcome(), 401)), 412, "rejected"),
        ("order-sign", but(Coverage=FAILED, Patient=FAILED), 412, "used"),
        ("order-sign", but(Coverage=searchset(coverage(), payer("OTHER"))), 400, "used"),
        ("order-sign", but(), 200, "used"),
        ("encounter-start", orders(), 200, "used"),
        ("encounter-start", orders(ServiceRequest=fhir(outcome(), 401)), 200, "rejected"),
    ],
)
async def test_how_the_token_fared_is_measured_of_every_call(
    post: Post, store: MemoryStore, hook: str, answer: Callable[[Asked], Response], status: int, use: str
) -> None:
    with served(answer) as server:
        response = await post(server.base, hook)
    (metric,) = [json.loads(each.response) for each in store.exchanges if each.kind == METRIC_DATA]
    assert (response.status_code, metric["httpResponse"], metric["tokenUse"]) == (status, status, use)


async def test_a_token_that_was_not_needed_is_not_used(post: Post, store: MemoryStore) -> None:
    response = await post(None, prefetch={"medicationRequests": None, "serviceRequests": None})
    (metric,) = [json.loads(each.response) for each in store.exchanges if each.kind == METRIC_DATA]
    assert (response.status_code, metric["tokenUse"]) == (200, "not-used")
