"""The ways in which real clients write their requests (crd.md 0, 2 and 5, forms.md 6): each gets the right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from service.fhir.canonical import HCPCS, NDC, RXNORM
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_other_hooks import appointment, booked, dispatched
from tests.unit.crd.world import (
    INITIAL_FORM,
    Json,
    coverage,
    medication_request,
    patient,
    payer,
    request,
    said,
    searchset,
    service_request,
)

COVERED = {"covered": ["covered"], "pa-needed": ["auth-needed"], "questionnaire": [f"{INITIAL_FORM}|1.0.0"]}
EARLY = {"covered": ["covered"], "pa-needed": ["auth-needed"]}
UNKNOWN = {"covered": ["conditional"], "info-needed": ["OTH"]}


def changed(body: Json, change: Callable[[Json], Any]) -> Json:
    change(body)
    return body


def ordered(concept: Json | None = None, **changes: Any) -> Json:
    return request(medication_request(medicationCodeableConcept=concept, **changes))


def hcpcs(system: str) -> Json:
    return ordered({"coding": [{"system": system, "code": "J0000"}]})


def with_prefetch(**prefetch: Any) -> Json:
    return {**request(), "prefetch": prefetch}


def in_context(**context: Any) -> Json:
    return changed(request(), lambda body: body["context"].update(context))


SENT = searchset(coverage(), payer())
DIALECTS: Mapping[str, tuple[Json, Mapping[str, Any]]] = {
    # Bundles and entries
    "drafts without a type": (changed(request(), lambda b: b["context"]["draftOrders"].pop("type")), COVERED),
    "coverage without a type": (with_prefetch(coverage={k: v for k, v in SENT.items() if k != "type"}), COVERED),
    "coverage in a collection": (with_prefetch(coverage={**SENT, "type": "collection"}), COVERED),
    "a bare coverage": (
        with_prefetch(coverage=coverage(contained=[payer()], payor=[{"reference": "#payer"}])),
        COVERED,
    ),
    "selections without a type": (
        changed(request(hook="order-select"), lambda b: b["context"].update(selections=["mr1"])),
        EARLY,
    ),
    "selections as addresses": (
        changed(
            request(hook="order-select"),
            lambda b: b["context"].update(selections=["https://ehr.example.org/fhir/MedicationRequest/mr1"]),
        ),
        EARLY,
    ),
    # Who and where
    "a role as user": (in_context(userId="PractitionerRole/r1"), COVERED),
    "a user without a type": (in_context(userId="d1"), COVERED),
    "a user and an encounter that do not exist": (in_context(userId="Practitioner/0", encounterId="0"), COVERED),
    "an encounter with its type": (in_context(encounterId="Encounter/e1"), COVERED),
    "a patient with its type": (in_context(patientId="Patient/p1"), COVERED),
    "further context": (in_context(selectionsX=[1], cdsConfiguration={"x": 1}), COVERED),
    # Envelope
    "one hook instance for all": ({**request(), "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"}, COVERED),
    "a hook instance that is no UUID": ({**request(), "hookInstance": "d1577c69-dfbe-123b2va"}, COVERED),
    "nulls for what is not there": ({**request(), "fhirServer": None, "fhirAuthorization": None}, COVERED),
    "a server with a slash": ({**request(), "fhirServer": "https://ehr.example.org/fhir/"}, COVERED),
    "a server without a token": ({**request(), "fhirServer": "https://ehr.example.org/fhir"}, COVERED),
    "a version of our own guide": ({**request(), "extension": {"davinci-crd.requestedVersion": "2.0.1"}}, COVERED),
    "configuration nonsense": (
        {
            **request(),
            "extension": {"davinci-crd.configuration": {"coverage-info": "no", "max-cards": "many", "x": {}}},
        },
        COVERED,
    ),
    # Prefetch
    "keys of their own": (with_prefetch(patientToGreet=patient(), insurances=SENT), COVERED),
    "keys that were never filled": (
        with_prefetch(patient=patient(), coverage=SENT, medications=None, x=None),
        COVERED,
    ),
    "a failure under a key": (
        with_prefetch(coverage=SENT, medications={"resourceType": "OperationOutcome", "issue": []}),
        COVERED,
    ),
    "an empty result": (
        with_prefetch(coverage=SENT, medications={"resourceType": "Bundle", "type": "searchset"}),
        COVERED,
    ),
    # Orders
    "an order in force": (request(medication_request(status="active")), COVERED),
    "an order on hold": (request(medication_request(status="on-hold")), COVERED),
    "no author and no date": (request(medication_request(requester=None, authoredOn=None)), COVERED),
    "https HCPCS": (hcpcs("https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"), COVERED),
    "HCPCS by OID": (hcpcs("urn:oid:2.16.840.1.113883.6.285"), COVERED),
    "HCPCS of Blue Button": (hcpcs("https://bluebutton.cms.gov/resources/codesystem/hcpcs"), COVERED),
    "a package code with hyphens": (ordered({"coding": [{"system": NDC, "code": "99999-0000-01"}]}), COVERED),
    "a name alone": (ordered({"text": "ZORVEX 10 mg"}), COVERED),
    "a drug code that we do not know": (ordered({"coding": [{"system": RXNORM, "code": "1"}]}), UNKNOWN),
    "no code": (ordered({"coding": [{"display": " "}]}), UNKNOWN),
    "an empty concept": (ordered({}), UNKNOWN),
    "no medication at all": (ordered(None), UNKNOWN),
    "a service without a code": (request(service_request(code=None)), UNKNOWN),
    "a medication by the code of other orders": (
        request(
            medication_request(medicationCodeableConcept=None, code={"coding": [{"system": HCPCS, "code": "J0000"}]})
        ),
        COVERED,
    ),
    "an appointment of the patient's own that is not stored yet": (
        changed(
            booked(
                appointment(id=None, basedOn=None, serviceType=[{"coding": [{"system": HCPCS, "code": "J0000"}]}])
            ),
            lambda b: b["context"].update(userId="Patient/p1"),
        ),
        COVERED,
    ),
    "an order that is not stored yet": (
        changed(request(), lambda b: b["context"]["draftOrders"]["entry"][0]["resource"].pop("id")),
        COVERED,
    ),
    "an older dispatch": (
        changed(dispatched(), lambda b: b.update(context={"patientId": "p1", "order": "MedicationRequest/mr1"})),
        COVERED,
    ),
}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_dialect_gets_the_right_answer(endpoint: Endpoint, dialect: str) -> None:
    body, expected = DIALECTS[dialect]
    told = said(await endpoint.call(body))
    assert {name: told.get(name) for name in expected} == expected


async def test_one_token_and_one_instance_may_come_with_several_bodies(endpoint: Endpoint) -> None:
    for order in (medication_request(), service_request(), medication_request(id="mr9")):
        assert (await endpoint.call(request(order)))["systemActions"]


async def test_feedback_without_a_system_is_taken(endpoint: Endpoint) -> None:
    reason = {"reason": {"code": "x"}, "userComment": "not now"}
    feedback = {"feedback": [{"card": "u1", "outcome": "overridden", "overrideReason": reason}]}
    for _repeated in range(2):
        assert (await endpoint.post(feedback, "order-sign-crd/feedback")).status_code == 200
    assert len(endpoint.store.feedback) == 2
