"""A payer's CDS Hooks endpoint without the rest of the service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.crd.routes import CrdDependencies, build
from service.fhir.parse import StructureCheck
from service.fhir.tables import load_tables
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock
from tests.unit.crd.world import NOW, TRUSTING, Json, OneDrug, anyone

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> StructureCheck:
    """The structure check over tables as the set-up makes them."""
    out = tmp_path_factory.mktemp("crd-assets") / "r4.json"
    definitions = ROOT / "node_modules" / "@medplum" / "definitions"
    tool = ROOT / "tools" / "r4_tables.py"
    subprocess.run([sys.executable, str(tool), "--definitions", str(definitions), "--out", str(out)], check=True)
    return StructureCheck(load_tables(out))


@dataclass(frozen=True)
class Endpoint:
    """A client of the endpoint, and what stands behind it."""

    http: httpx.AsyncClient
    dependencies: CrdDependencies

    @property
    def store(self) -> MemoryStore:
        store = self.dependencies.store
        assert isinstance(store, MemoryStore)
        return store

    @property
    def clock(self) -> FrozenClock:
        clock = self.dependencies.clock
        assert isinstance(clock, FrozenClock)
        return clock

    async def post(self, body: Any, service: str | None = None) -> httpx.Response:
        name = service or f"{body.get('hook', 'order-sign') if isinstance(body, dict) else 'order-sign'}-crd"
        return await self.http.post(f"/cds-services/{name}", json=body)

    async def call(self, body: Json) -> Any:
        response = await self.post(body)
        assert response.status_code == 200, response.text
        return response.json()

    async def refused(self, body: Any, status: int, service: str | None = None) -> list[Json]:
        """The issues of an OperationOutcome."""
        response = await self.post(body, service)
        assert response.status_code == status, response.text
        outcome = response.json()
        assert outcome["resourceType"] == "OperationOutcome"
        issues: list[Json] = outcome["issue"]
        assert all(issue["diagnostics"] == issue["details"]["text"] for issue in issues)
        return issues


@pytest.fixture
async def opened(check: StructureCheck) -> AsyncIterator[Callable[..., Endpoint]]:
    """Opens an endpoint; keyword arguments replace dependencies."""
    clients: list[httpx.AsyncClient] = []

    def make(**changes: Any) -> Endpoint:
        standard = CrdDependencies(
            settings=TRUSTING,
            registry=OneDrug(),
            store=MemoryStore(),
            clock=FrozenClock(NOW),
            ids=CountingIds(),
            access=anyone,
            check=check,
        )
        dependencies = replace(standard, **changes)
        app = FastAPI()
        app.include_router(build(dependencies))
        transport = httpx.ASGITransport(app=app)
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://payer.test"))
        return Endpoint(clients[-1], dependencies)

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture
def endpoint(opened: Callable[..., Endpoint]) -> Endpoint:
    """An endpoint that trusts the presented Coverage."""
    return opened()
