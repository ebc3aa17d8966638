"""One order under several ids, and copies that are other orders."""

from __future__ import annotations

import copy
from typing import Any

from service.fhir.canonical import CRD_COVERAGE_INFORMATION
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_other_hooks import dispatched
from tests.unit.crd.world import (
    INITIAL_FORM,
    Json,
    blocks,
    coverage,
    medication_request,
    payer,
    request,
    said,
    searchset,
)


async def annotated(endpoint: Endpoint) -> Json:
    """The order as the client keeps it: with our extension."""
    order: Json = (await endpoint.call(request()))["systemActions"][0]["resource"]
    return order


def own_id(order: Json) -> Any:
    return said({"systemActions": [{"resource": order}]})["coverage-assertion-id"][0]


async def answered(endpoint: Endpoint, *orders: Json) -> list[Json]:
    """The orders as they stand after the answer: with a new block where one was sent."""
    body = request(*orders, version="2.2")
    sent = {a["resource"]["id"]: a["resource"] for a in (await endpoint.call(body)).get("systemActions", [])}
    return [sent.get(order["id"], order) for order in orders]


async def test_a_signed_order_with_a_new_id_keeps_its_assertion(endpoint: Endpoint) -> None:
    draft = await annotated(endpoint)
    signed = {**draft, "id": "77", "status": "active", "authoredOn": "2026-12-01T16:00:00Z"}
    again = await endpoint.call(request(signed))
    assert again["systemActions"] == []
    (after,) = await answered(endpoint, signed)
    assert own_id(after) == own_id(draft)
    response = await endpoint.call(dispatched("MedicationRequest/77", medicationRequests=searchset(after)))
    assert all(own_id(action["resource"]) == own_id(draft) for action in response["systemActions"])
    kept = await endpoint.store.assertion(own_id(draft))
    assert kept is not None
    assert kept.order_reference == "MedicationRequest/77"
    assert kept.questionnaire == f"{INITIAL_FORM}|1.0.0"


async def test_a_copy_for_another_time_is_another_order(endpoint: Endpoint) -> None:
    first = await annotated(endpoint)
    later = {**first, "id": "mr2", "dispenseRequest": {"validityPeriod": {"start": "2026-12-20"}}}
    (second,) = await answered(endpoint, later)
    assert own_id(second) != own_id(first)
    assert len(blocks(second)) == 1


async def test_a_copy_beside_its_original_is_another_order(endpoint: Endpoint) -> None:
    first = await annotated(endpoint)
    original, twin = await answered(endpoint, first, {**copy.deepcopy(first), "id": "mr2"})
    assert own_id(original) == own_id(first)
    assert own_id(twin) != own_id(first)
    left, right = await answered(endpoint, {**first, "id": "a"}, {**first, "id": "b"})
    assert own_id(left) != own_id(right)


async def test_an_assertion_of_another_patient_or_drug_is_not_taken_over(endpoint: Endpoint) -> None:
    first = await annotated(endpoint)
    aspirin = {**first, "id": "mr2", "medicationCodeableConcept": {"text": "Aspirin"}}
    (other,) = await answered(endpoint, aspirin)
    assert own_id(other) != own_id(first)
    body = request({**first, "id": "mr3", "subject": {"reference": "Patient/p2"}}, version="2.2")
    body["context"]["patientId"] = "p2"
    owner = {"reference": "Patient/p2"}
    body["prefetch"] = {"coverage": searchset(coverage(beneficiary=owner), payer())}
    (action,) = (await endpoint.call(body))["systemActions"]
    assert own_id(action["resource"]) != own_id(first)


async def test_an_id_that_we_never_gave_is_not_taken_over(endpoint: Endpoint) -> None:
    invented = medication_request(
        extension=[
            {
                "url": CRD_COVERAGE_INFORMATION,
                "extension": [
                    {"url": "coverage", "valueReference": {"reference": "Coverage/cov1"}},
                    {"url": "coverage-assertion-id", "valueString": "invented"},
                ],
            }
        ]
    )
    (after,) = await answered(endpoint, invented)
    assert own_id(after) != "invented"
