"""Whole requests and answers under the repository's own policies, clock and ids standing still.

`pytest --regen` (see tests/conftest.py) writes the answers anew where that option is offered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.catalog.registry import HOME, Registry, load_registry
from service.fhir.canonical import CRD_COVERAGE_INFORMATION
from service.fhir.parse import StructureCheck
from tests.unit.crd.conftest import Endpoint

GOLDEN = Path(__file__).parents[2] / "golden" / "crd"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


@pytest.fixture(scope="module")
def registry(check: StructureCheck) -> Registry:
    return load_registry([HOME], check)


@pytest.mark.parametrize("case", CASES)
async def test_the_answer_is_the_one_on_file(
    opened: Callable[..., Endpoint], registry: Registry, case: str, request: pytest.FixtureRequest
) -> None:
    body = json.loads((GOLDEN / case / "request.json").read_text())
    answer = await opened(registry=registry).call(body)
    expected = GOLDEN / case / "response.json"
    if request.config.getoption("--regen", default=False):
        expected.write_text(json.dumps(answer, indent=2, ensure_ascii=False) + "\n")
    assert answer == json.loads(expected.read_text())


def received(value: Any) -> Iterator[Any]:
    """Every resource of a request."""
    if isinstance(value, dict):
        if "resourceType" in value:
            yield value
        value = list(value.values())
    for child in value if isinstance(value, list) else []:
        yield from received(child)


@pytest.mark.parametrize("case", CASES)
def test_the_answers_on_file_are_valid_and_give_the_order_back(case: str) -> None:
    sent = list(received(json.loads((GOLDEN / case / "request.json").read_text())))
    actions = json.loads((GOLDEN / case / "response.json").read_text())["systemActions"]
    assert actions
    for action in actions:
        resource = action["resource"]
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        (block,) = resource.pop("extension")
        assert block["url"] == CRD_COVERAGE_INFORMATION
        assert resource in sent


def test_both_versions_hooks_and_kinds_of_order_are_on_file() -> None:
    hooks, kinds, versions = ("order-sign", "order-select"), ("medication", "service"), ("2.0", "2.2")
    assert {"-".join(case) for case in product(hooks, kinds, versions)} <= set(CASES)
    further = ("order-dispatch-medication", "appointment-book-service", "encounter-discharge-medication")
    assert {"-".join(case) for case in product(further, versions)} <= set(CASES)
