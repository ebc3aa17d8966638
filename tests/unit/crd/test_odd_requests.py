"""Whatever stands at whatever place of a request, there is an answer or a clean refusal."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_other_hooks import ALTERNATE, appointment, hook_request
from tests.unit.crd.world import Json, medication_request, request, searchset, service_request

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


def other_request(hook: str, version: str) -> Json:
    """A request of the hooks that carry no drafts."""
    medication = {"resourceType": "Medication", "id": "m1", "code": {"coding": [{"system": "s", "code": "c"}]}}
    order = medication_request(
        status="active",
        medicationCodeableConcept=None,
        medicationReference={"reference": "Medication/m1", "display": "Zorvex"},
    )
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "focus": {"reference": "x"}}
    contexts: dict[str, Json] = {
        "order-dispatch": {"dispatchedOrders": ["MedicationRequest/mr1"], "fulfillmentTasks": [task], "task": task},
        "appointment-book": {"appointments": {"resourceType": "Bundle", "entry": [{"resource": BOOKING}]}},
        "encounter-start": {"encounterId": "e1"},
    }
    prefetch = {"medicationRequests": order, "serviceRequests": searchset(service_request()), "m": medication}
    return hook_request(hook, contexts[hook], version=version, **prefetch)


OTHER: Json = {"url": ALTERNATE, "valueReference": {"reference": "MedicationRequest/mr1"}}
BOOKING = appointment(basedOn=[{"reference": "ServiceRequest/sr1", "extension": [OTHER]}])


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
    await _survives_oddities(endpoint, whole_request(hook, version))


@pytest.mark.parametrize(
    ("hook", "version"), [("order-dispatch", "2.0"), ("appointment-book", "2.2"), ("encounter-start", "2.2")]
)
async def test_nothing_odd_is_a_failure_on_the_other_hooks(endpoint: Endpoint, hook: str, version: str) -> None:
    await _survives_oddities(endpoint, other_request(hook, version))


async def _survives_oddities(endpoint: Endpoint, whole: Json) -> None:
    assert (await endpoint.call(whole))["systemActions"]
    for path in places(whole):
        for odd in ODD:
            response = await endpoint.post(replaced(whole, path, odd), f"{whole['hook']}-crd")
            assert response.status_code in {200, 400, 412}, (path, odd, response.text)
            if response.status_code != 200:
                assert response.json()["resourceType"] == "OperationOutcome"
                assert MARK not in response.text, (path, odd)
