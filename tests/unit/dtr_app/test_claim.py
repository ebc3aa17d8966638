"""The request that the app builds: whole, valid, and refused where the EHR does not say who asks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from service.dtr.app.claim import request_bundle
from service.dtr.app.claim_parts import Numbers
from service.dtr.app.documents import from_file
from service.errors import MissingElement
from service.fhir.bundle import references
from tests.unit.dtr.samples import validate
from tests.unit.dtr_app.clinic import BASE, NOW, ORDER, PATIENT, Clinic

NUMBERS = Numbers("claim-1", "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002", NOW)


def response_of(opened: Any) -> dict[str, Any]:
    return {**opened.skeleton, "id": "qr1", "status": "completed", "item": list(opened.items)}


async def test_a_request_is_whole_valid_and_has_each_resource_once(clinic: Clinic) -> None:
    opened = await clinic.open()
    request = request_bundle(opened, response_of(opened), NUMBERS)
    validate(request)
    urls = [entry["fullUrl"] for entry in request["entry"]]
    assert len(urls) == len(set(urls))
    claim = request["entry"][0]["resource"]
    for _, named in references(claim):
        assert f"{BASE}/{named['reference']}" in urls
    kinds = {entry["resource"]["resourceType"] for entry in request["entry"]}
    assert {"Claim", "Patient", "Coverage", "MedicationRequest", "QuestionnaireResponse", "Condition"} <= kinds
    assert claim["item"][0]["informationSequence"] == [1]


async def test_documents_come_after_the_answers_and_the_line_points_to_them(clinic: Clinic) -> None:
    opened = await clinic.open()
    document = from_file("ct.txt", "R3Jvd24u", (opened.matter.patient, opened.author), ("doc1", NOW))
    related = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "Size"}}
    report: dict[str, Any] = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "CT"},
    }
    report["result"] = [{"reference": "Observation/o1"}]
    attached = (document, replace(document, resource=report, title="CT", related=(related,)))
    request = request_bundle(opened, response_of(opened), NUMBERS, attached)
    validate(request)
    claim = request["entry"][0]["resource"]
    assert [info["sequence"] for info in claim["supportingInfo"]] == [1, 2, 3]
    assert [info["valueReference"]["reference"] for info in claim["supportingInfo"]] == [
        "QuestionnaireResponse/qr1",
        "DocumentReference/doc1",
        "DiagnosticReport/r1",
    ]
    assert claim["item"][0]["informationSequence"] == [1, 2, 3]
    sent = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in request["entry"]}
    assert {"DocumentReference/doc1", "DiagnosticReport/r1", "Observation/o1"} <= sent


@pytest.mark.parametrize(
    ("left_out", "told"),
    [
        ({"organization": None, "role": None}, "for which organization"),
        ({"insurer": None}, "who insures the patient"),
    ],
)
async def test_a_request_that_nobody_could_answer_is_not_made(
    clinic: Clinic, left_out: dict[str, None], told: str
) -> None:
    opened = await clinic.open()
    opened = replace(opened, parties=replace(opened.parties, **left_out))
    with pytest.raises(MissingElement, match=told):
        request_bundle(opened, response_of(opened), NUMBERS)


async def test_an_order_that_names_nothing_is_told(clinic: Clinic) -> None:
    opened = await clinic.open()
    order = {name: value for name, value in opened.matter.order.items() if name != "medicationCodeableConcept"}
    opened = replace(opened, matter=replace(opened.matter, order=order, medication=None))
    with pytest.raises(MissingElement, match="does not name"):
        request_bundle(opened, response_of(opened), NUMBERS)


async def test_the_line_is_for_the_orders_patient(clinic: Clinic) -> None:
    opened = await clinic.open()
    claim = request_bundle(opened, response_of(opened), NUMBERS)["entry"][0]["resource"]
    assert claim["patient"] == {"reference": f"Patient/{PATIENT}"}
    requested = [e["valueReference"] for e in claim["item"][0]["extension"] if "valueReference" in e]
    assert requested == [{"reference": ORDER}]
