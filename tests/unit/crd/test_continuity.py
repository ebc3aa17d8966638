"""One order under several ids, and copies that are other orders."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from service.fhir.canonical import CRD_COVERAGE_INFORMATION, HCPCS
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_other_hooks import appointment, booked, dispatched
from tests.unit.crd.world import (
    INITIAL_FORM,
    Json,
    blocks,
    coverage,
    medication_request,
    patient,
    payer,
    request,
    said,
    searchset,
    service_request,
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


@pytest.mark.requirement("resp-36")
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


def plain(number: str, **changes: Any) -> Json:
    """An order that carries nothing of ours."""
    return medication_request(id=number, **changes)


async def selected(endpoint: Endpoint, *orders: Json) -> list[Any]:
    body = request(*orders, hook="order-select", version="2.2")
    return [own_id(action["resource"]) for action in (await endpoint.call(body))["systemActions"]]


async def signed(endpoint: Endpoint, *orders: Json) -> list[Any]:
    return [own_id(order) for order in await answered(endpoint, *orders)]


DOSED: Json = {
    "dosageInstruction": [{"id": "x1", "doseAndRate": [{"doseQuantity": {"value": 10, "unit": "mg"}}]}],
    "dispenseRequest": {"validityPeriod": {"start": "2026-12-04"}, "quantity": {"value": 10}},
}


async def test_a_signed_order_that_carries_nothing_keeps_what_was_said_of_its_draft(endpoint: Endpoint) -> None:
    [draft] = await selected(endpoint, plain("draft-1", **DOSED))
    dose = {"doseAndRate": [{"id": "y2", "doseQuantity": {"value": 10, "unit": " MG "}}]}
    supply = {**DOSED["dispenseRequest"], "performer": {"reference": "Organization/pharmacy"}}
    again = plain("77", status="active", authoredOn="2026-12-02", dosageInstruction=[dose], dispenseRequest=supply)
    assert await signed(endpoint, again) == [draft]
    kept = await endpoint.store.assertion(draft)
    assert kept is not None
    assert kept.order_reference == "MedicationRequest/77"
    # Signed again, still without our extension.
    assert await signed(endpoint, again) == [draft]


@pytest.mark.parametrize(
    "changes",
    [
        {"dispenseRequest": {"validityPeriod": {"start": "2026-12-20"}}},
        {"dispenseRequest": {**DOSED["dispenseRequest"], "quantity": {"value": 20}}},
        {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": 1, "unit": "mg"}}]}]},
        {"medicationCodeableConcept": {"text": "Aspirin"}},
        {"intent": "plan"},
    ],
    ids=["day", "quantity", "dose", "drug", "intent"],
)
async def test_an_order_that_asks_for_something_else_is_another_order(endpoint: Endpoint, changes: Json) -> None:
    [draft] = await selected(endpoint, plain("draft-1", **DOSED))
    assert await signed(endpoint, plain("77", **{**DOSED, **changes})) != [draft]


async def test_of_two_alike_each_signed_order_has_its_own_assertion(endpoint: Endpoint) -> None:
    drafts = await selected(endpoint, plain("draft-1"), plain("draft-2"))
    assert len(set(drafts)) == 2
    after = await signed(endpoint, plain("71"), plain("72"), plain("73"))
    assert len(set(after)) == 3
    assert set(drafts) < set(after)


@pytest.mark.parametrize("first", [True, False])
async def test_a_copy_does_not_take_what_was_said_of_the_order_beside_it(endpoint: Endpoint, first: bool) -> None:
    [draft] = await selected(endpoint, plain("draft-1"))
    original, copied = plain("draft-1"), plain("77")
    after = await signed(endpoint, *([copied, original] if first else [original, copied]))
    assert after.index(draft) == (1 if first else 0)
    assert len(set(after)) == 2


@pytest.mark.parametrize(("days", "kept"), [(30, True), (31, False)])
async def test_a_draft_is_not_looked_for_for_ever(endpoint: Endpoint, days: int, kept: bool) -> None:
    [draft] = await selected(endpoint, plain("draft-1"))
    endpoint.clock.advance(timedelta(days=days))
    assert (await signed(endpoint, plain("77")) == [draft]) is kept


async def test_an_order_that_names_nothing_is_like_no_other(endpoint: Endpoint) -> None:
    [draft] = await selected(endpoint, plain("draft-1", medicationCodeableConcept=None))
    assert await signed(endpoint, plain("77", medicationCodeableConcept=None)) != [draft]


async def test_the_same_drug_for_another_coverage_or_patient_or_as_a_service_is_another_order(
    endpoint: Endpoint,
) -> None:
    [draft] = await selected(endpoint, plain("draft-1"))
    elsewhere = request(plain("77"), version="2.2")
    elsewhere["prefetch"]["coverage"] = searchset(coverage(subscriberId="M-2"), payer())
    somebody = request(plain("78", subject={"reference": "Patient/p2"}), version="2.2")
    somebody["context"]["patientId"] = "p2"
    owner = {"reference": "Patient/p2"}
    somebody["prefetch"] = {
        "patient": {**patient(), "id": "p2"},
        "coverage": searchset(coverage(beneficiary=owner), payer()),
    }
    service = request(service_request(), version="2.2")
    for body in (elsewhere, somebody, service):
        (action,) = (await endpoint.call(body))["systemActions"]
        assert own_id(action["resource"]) != draft


async def booked_id(endpoint: Endpoint, wished: Json, **changes: Any) -> Any:
    return said(await endpoint.call(booked({**wished, **changes})))["coverage-assertion-id"][0]


async def test_an_appointment_that_is_not_stored_yet_is_known_by_what_it_says(endpoint: Endpoint) -> None:
    """Clients ask before they book, again when the form is filled, and once more when it has an id."""
    named = {"serviceType": [{"coding": [{"system": HCPCS, "code": "J0000"}]}]}
    foreign = [{"url": "https://other.example.org/note", "valueString": "x"}]
    for wished in (appointment(id=None, basedOn=None, **named), appointment(id=None, basedOn=None)):
        first = await booked_id(endpoint, wished)
        assert await booked_id(endpoint, wished, status="waitlist", extension=foreign) == first
        assert await booked_id(endpoint, wished, start="2026-12-16T14:00:00Z") != first
        # Nothing is like an order that names nothing.
        assert (await booked_id(endpoint, wished, id="ap77", status="booked") == first) is ("serviceType" in wished)
