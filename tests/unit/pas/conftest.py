"""The real rules (repository policy, real CQL engine) behind PAS, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.catalog.registry import HOME, Registry, load_registry
from service.engine.evaluator import V8Engine
from service.errors import ServiceError
from service.fhir.outcome import answer_for, operation_outcome
from service.fhir.parse import StructureCheck
from service.fhir.tables import load_tables
from service.pas.routes import build
from service.store.sql import open_store
from service.wire import fhir_response
from tests.unit.pas.notified import Make, Notified
from tests.unit.pas.payer import Payer
from tests.unit.pas.subscriber import Subscriber, running_subscriber

ASSETS = Path(__file__).resolve().parents[3] / "service" / "_assets"


@pytest.fixture(scope="session")
def check() -> StructureCheck:
    return StructureCheck(load_tables(ASSETS / "r4.json"))


@pytest.fixture(scope="session")
def registry(check: StructureCheck) -> Registry:
    return load_registry([HOME], check)


@pytest.fixture(scope="session")
def engine() -> Iterator[V8Engine]:
    running = V8Engine(ASSETS / "cqlhost.js")
    yield running
    running.close()


@pytest.fixture
def new_payer(check: StructureCheck, registry: Registry, engine: V8Engine) -> Callable[[], Payer]:
    return lambda: Payer(check, registry, engine)


@pytest.fixture
def payer(new_payer: Callable[[], Payer]) -> Payer:
    return new_payer()


@pytest.fixture
async def http(payer: Payer) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(build(payer.dependencies, "2.2.1"), prefix="/fhir")
    app.include_router(build(payer.dependencies, "2.0.1"), prefix="/2.0.1/fhir")

    async def refuse(request: Request, error: Exception) -> Response:
        return fhir_response(operation_outcome(error), answer_for(error).status)

    app.add_exception_handler(ServiceError, refuse)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://payer.example.org") as client:
        yield client


@pytest.fixture
async def make(payer: Payer, tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Notified] = []

    def new(**changes: Any) -> Notified:
        settings = payer.settings.model_copy(update={"demo": True, **changes})
        made.append(Notified(payer, open_store(f"sqlite:///{tmp_path / 'outbox.db'}", payer.clock), settings))
        return made[-1]

    yield new
    for one in made:
        await one.notifier.settled()
        await one.http.aclose()
        await one.store.close()


@pytest.fixture
def notified(make: Make) -> Notified:
    return make()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    with running_subscriber() as running:
        yield running
