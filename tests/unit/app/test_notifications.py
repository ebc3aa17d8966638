"""The whole application tells a subscriber: handshake, then the answer to what was pended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app.compose import create_app
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.pas import bundles as b
from tests.unit.pas.notified import subscription
from tests.unit.pas.payer import NOW, code_of, response_of
from tests.unit.pas.subscriber import Subscriber, running_subscriber
from tests.unit.pas.test_attachment import sent

Json = dict[str, Any]
_SECONDS = 20.0


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with running_subscriber() as running:
        yield running


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(demo=True, notify_seconds=0.05), tmp_path, clock=FrozenClock(NOW))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(_SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


async def post(http: httpx.AsyncClient, path: str, body: Json, status: int = 200) -> Json:
    answer = await http.post(path, json=body)
    assert answer.status_code == status, answer.text
    found: Json = answer.json()
    return found


@pytest.mark.requirement("PAS spec-51")
async def test_a_pended_request_is_completed_and_the_subscriber_is_told(
    http: httpx.AsyncClient, subscriber: Subscriber
) -> None:
    made = await post(http, "/fhir/Subscription", subscription(subscriber.url), 201)
    await until(lambda: subscriber.kinds == ["handshake"])
    await post(http, "/fhir/Claim/$submit", b.bundle())
    pended = await post(http, "/fhir/Claim/$submit", b.bundle({b.RESPONSE: b.response({})}))
    [task] = [one["resource"] for one in pended["entry"] if one["resource"]["resourceType"] == "Task"]
    address = task["input"][0]["valueUrl"]
    assert address.endswith("/fhir/$submit-attachment")
    await post(http, "/fhir/$submit-attachment", sent(task["identifier"][0]["value"], b.response()))
    await until(lambda: len(subscriber.received) == 2)
    told = subscriber.received[1][1]["entry"][1]["resource"]
    assert response_of(told)["id"] == response_of(pended)["id"]
    assert code_of(response_of(told)["item"][0]) == "A1"
    status = (await http.get(f"/fhir/Subscription/{made['id']}/$status")).json()
    values = {one["name"]: one for one in status["entry"][0]["resource"]["parameter"]}
    assert values["status"]["valueCode"] == "active"
    assert values["events-since-subscription-start"]["valueString"] == "1"
    # The subscriber has it a moment before its answer is counted.
    async with asyncio.timeout(_SECONDS):
        while 'notifications_total{result="delivered"} 2.0' not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.01)
    assert "cases_overdue" in (await http.get("/metrics")).text


@pytest.mark.requirement("PAS spec-55")
async def test_the_capability_statement_offers_the_topic(http: httpx.AsyncClient) -> None:
    for base in ("/fhir", "/2.0.1/fhir"):
        [rest] = (await http.get(f"{base}/metadata")).json()["rest"]
        [offered] = [one for one in rest["resource"] if one["type"] == "Subscription"]
        assert offered["extension"][0]["valueCanonical"].endswith("PASSubscriptionTopic")
        assert {one["code"] for one in offered["interaction"]} == {"create", "read", "update", "delete"}


async def test_the_capability_statement_offers_to_take_attachments(http: httpx.AsyncClient) -> None:
    [rest] = (await http.get("/fhir/metadata")).json()["rest"]
    assert [one["name"] for one in rest["operation"]] == ["submit-attachment"]


async def test_the_application_ends_while_a_subscriber_is_slow(tmp_path: Path, subscriber: Subscriber) -> None:
    """It waits for the call that is on its way, and not for ever."""
    subscriber.slow.clear()
    app = create_app(Settings(demo=True, notify_seconds=0.05, notify_timeout_seconds=0.5), tmp_path)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with asyncio.timeout(_SECONDS), app.router.lifespan_context(app):
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await post(client, "/fhir/Subscription", subscription(subscriber.url), 201)
        await until(lambda: bool(subscriber.paths))
