"""What anybody may read: the front page, each policy in the payer's words, health, and counts."""

from __future__ import annotations

import html
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from service.app import operations
from service.app.compose import create_app
from service.app.parts import Rules
from service.ports import PolicyRegistry
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.pas.payer import NOW

BASE = "https://payer.example.org"


def opened(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=BASE)


@pytest.fixture
async def reader(rules: Rules, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(public_url=BASE, payer_name="Prairie <Health>")
    app = create_app(settings, tmp_path, clock=FrozenClock(NOW), rules=replace(rules, settings=settings))
    async with opened(app) as http:
        yield http


async def test_the_front_page_leads_to_every_policy_and_interface(reader: httpx.AsyncClient, rules: Rules) -> None:
    page = (await reader.get("/")).text
    assert "Prairie &lt;Health&gt;" in page
    for loaded in rules.registry.all():
        assert f'href="/policies/{loaded.policy.ref.id}"' in page
    for path in ("/cds-services", "/fhir", "/2.0.1/fhir"):
        assert f"{BASE}{path}<" in page
    assert "Development access" not in page


async def test_a_policy_is_read_in_the_payers_words_with_their_pages(reader: httpx.AsyncClient, rules: Rules) -> None:
    for loaded in rules.registry.all():
        page = html.unescape((await reader.get(f"/policies/{loaded.policy.ref.id}")).text)
        criteria = [criterion for pathway in loaded.policy.pathways.values() for criterion in pathway.criteria]
        assert criteria
        for criterion in criteria:
            assert criterion.text in page
            assert str(criterion.citation) in page
            assert (criterion.unmet_quote or "") in page


async def test_a_policy_that_is_not_there_is_not_found(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/policies/no-such-policy")
    assert answer.status_code == 404
    assert "no-such-policy" not in answer.text


async def test_counts_are_there_for_prometheus(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# HELP http_requests_total " in answer.text


@dataclass(frozen=True)
class Store:
    works: bool

    async def ready(self) -> bool:
        return self.works


@pytest.mark.parametrize(("works", "status"), [(True, 200), (False, 503)])
async def test_readiness_follows_the_store_and_names_the_policies(rules: Rules, works: bool, status: int) -> None:
    app = FastAPI()
    app.include_router(operations.build(Store(works), rules.registry, CollectorRegistry()))
    async with opened(app) as http:
        ready, live = await http.get("/health/ready"), await http.get("/health/live")
    assert ready.status_code == status
    assert ready.json()["store"] == ("ok" if works else "unavailable")
    assert ready.json()["policies"] == [f"{p.policy.ref.id} {p.policy.ref.version}" for p in rules.registry.all()]
    assert live.status_code == 200


class NoPolicies:
    def all(self) -> tuple[()]:
        return ()


async def test_without_a_policy_the_service_is_not_ready() -> None:
    app = FastAPI()
    none: PolicyRegistry = NoPolicies()  # type: ignore[assignment]  # only what readiness asks
    app.include_router(operations.build(Store(True), none, CollectorRegistry()))
    async with opened(app) as http:
        assert (await http.get("/health/ready")).status_code == 503
