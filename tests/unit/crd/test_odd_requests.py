"""Whatever stands at whatever place of a request, there is an answer or a clean refusal."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import Json, medication_request, request, service_request

MARK = "ODD-1958-02-03"
ODD: list[Any] = [None, "", MARK, 5, 1.5, True, [], {}, [None], [MARK], {MARK: MARK}, [{}], {"reference": MARK}]
Path = tuple[str | int, ...]


def whole_request(hook: str, version: str) -> Json:
    medication = {"resourceType": "Medication", "id": "m1", "code": {"coding": [{"system": "s", "code": "c"}]}}
    order = medication_request(
        medicationCodeableConcept=None,
        medicationReference={"reference": "Medication/m1", "display": "Zorvex"},
        extension=[
            {
                "url": "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information",
                "extension": [
                    {"url": "coverage", "valueReference": {"reference": "Coverage/cov1"}},
                    {"url": "date", "valueDate": "2026-12-01"},
                    {"url": "coverage-assertion-id", "valueString": "a"},
                ],
            }
        ],
        dosageInstruction=[{"timing": {"event": ["2026-12-04"], "repeat": {"boundsPeriod": {"start": "2026-12"}}}}],
    )
    body = request(order, service_request(), hook=hook, version=version, fhirServer="https://ehr.example.org/fhir")
    body["prefetch"]["medications"] = medication
    body["prefetch"]["patient"]["identifier"] = [{"system": "https://payer.example.org/member", "value": "M-1"}]
    body["extension"]["davinci-crd.configuration"] = {"max-cards": 3}
    return body


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    children: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        children = iter(value.items())
    elif isinstance(value, list):
        children = iter(enumerate(value))
    for step, child in children:
        yield (*path, step)
        yield from places(child, (*path, step))


def replaced(body: Json, path: Path, odd: Any) -> Json:
    changed = copy.deepcopy(body)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = odd
    return changed


@pytest.mark.parametrize(("hook", "version"), [("order-sign", "2.0"), ("order-select", "2.2")])
async def test_nothing_odd_is_a_failure_of_ours(endpoint: Endpoint, hook: str, version: str) -> None:
    whole = whole_request(hook, version)
    await endpoint.call(whole)
    for path in places(whole):
        for odd in ODD:
            response = await endpoint.post(replaced(whole, path, odd), f"{hook}-crd")
            assert response.status_code in {200, 400, 412}, (path, odd, response.text)
            if response.status_code != 200:
                assert response.json()["resourceType"] == "OperationOutcome"
                assert MARK not in response.text, (path, odd)
