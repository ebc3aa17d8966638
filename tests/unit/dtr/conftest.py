"""The repository's own policies, loaded once, and the service over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.catalog.registry import HOME, Registry, load_registry
from service.engine.evaluator import V8Engine
from service.fhir.parse import StructureCheck
from service.fhir.tables import load_tables
from tests.unit.dtr import samples
from tests.unit.dtr.samples import ROOT, Service


@pytest.fixture(scope="session")
def check() -> StructureCheck:
    return StructureCheck(load_tables(ROOT / "service/_assets/r4.json"))


@pytest.fixture(scope="session")
def registry(check: StructureCheck) -> Registry:
    return load_registry([HOME], check)


@pytest.fixture
def service(registry: Registry, check: StructureCheck) -> Service:
    """The service with an engine that finds nothing."""
    return Service(registry, check)


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> list[samples.StoreDouble]:
    """Every store that the service opens from here on: what calls left in them."""
    opened: list[samples.StoreDouble] = []
    made = samples.StoreDouble

    def watched(*given: Any) -> samples.StoreDouble:
        opened.append(made(*given))
        return opened[-1]

    monkeypatch.setattr(samples, "StoreDouble", watched)
    return opened


@pytest.fixture(scope="session")
def engine() -> Iterator[V8Engine]:
    running = V8Engine(ROOT / "service/_assets/cqlhost.js")
    yield running
    running.close()
