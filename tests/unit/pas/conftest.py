"""The real rules (repository policy, real CQL engine) behind PAS, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.catalog.registry import HOME, Registry, load_registry
from service.engine.evaluator import V8Engine
from service.fhir.parse import StructureCheck
from service.fhir.tables import load_tables
from tests.unit.pas.payer import Payer

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
