"""The real engine, and the repository's own logic, for tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.engine.evaluator import V8Engine
from service.ports import CqlDate, CqlValue, Evaluation, LibraryRef, LogicLibrary, LogicSet, Resource

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "service/_assets/cqlhost.js"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)

Evaluate = Callable[..., Awaitable[Mapping[str, Any]]]


@pytest.fixture(scope="session")
def script() -> Path:
    assert SCRIPT.exists(), "run `npm run build:engine` first"
    return SCRIPT


@pytest.fixture(scope="session")
def engine(script: Path) -> Iterator[V8Engine]:
    running = V8Engine(script)
    yield running
    running.close()


@pytest.fixture(scope="session")
def imdelltra() -> LogicSet:
    libraries = tuple(
        LogicLibrary(LibraryRef(name, "1.0.0"), json.loads((ROOT / f"cql/elm/{name}.json").read_text()))
        for name in ("ImdelltraCriteria", "ImdelltraPrepopulation")
    )
    value_sets = tuple(json.loads(path.read_text()) for path in sorted((ROOT / "cql/valuesets").glob("*.json")))
    return LogicSet("imdelltra", libraries, value_sets)


@pytest.fixture(scope="session")
def criteria(engine: V8Engine, imdelltra: LogicSet) -> Evaluate:
    """criteria(*defines, records=[...], on="2026-12-04") over ImdelltraCriteria."""

    async def evaluate(*defines: str, records: list[Resource], on: str | None = "2026-12-04") -> Mapping[str, Any]:
        given: dict[str, CqlValue] = {} if on is None else {"Service Date": CqlDate(on)}
        library = LibraryRef("ImdelltraCriteria", "1.0.0")
        return await engine.evaluate(Evaluation(imdelltra, library, defines, tuple(records), given, NOW))

    return evaluate


@pytest.fixture(scope="session")
def chart(engine: V8Engine, imdelltra: LogicSet) -> Evaluate:
    """chart(*defines, records=[...]) over ImdelltraPrepopulation."""

    async def evaluate(*defines: str, records: list[Resource]) -> Mapping[str, Any]:
        library = LibraryRef("ImdelltraPrepopulation", "1.0.0")
        return await engine.evaluate(Evaluation(imdelltra, library, defines, tuple(records), {}, NOW))

    return evaluate
