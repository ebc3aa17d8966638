"""Order-dispatch in its three forms, appointment-book and the encounter hooks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from service.fhir.canonical import HCPCS
from service.settings import Settings
from tests.unit.crd.conftest import Endpoint
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

Opened = Callable[..., Endpoint]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])
ASPIRIN = medication_request(id="mr2", status="active", medicationCodeableConcept={"text": "Aspirin"})
ALTERNATE = "http://hl7.org/fhir/StructureDefinition/alternate-reference"


def hook_request(hook: str, context: Json, *, version: str | None = None, **prefetch: Any) -> Json:
    body = request(version=version)
    body["hook"] = hook
    body["context"] = {"userId": "PractitionerRole/r1", "patientId": "p1", "encounterId": "none", **context}
    body["prefetch"].update(prefetch)
    return body


def dispatched(*names: str, **prefetch: Any) -> Json:
    context = {"dispatchedOrders": list(names or ("MedicationRequest/mr1",)), "performer": "Organization/o1"}
    sent = prefetch or {"medicationRequests": searchset(medication_request(status="active"))}
    return hook_request("order-dispatch", context, **sent)


def appointment(**changes: Any) -> Json:
    made: Json = {
        "resourceType": "Appointment",
        "id": "ap1",
        "status": "proposed",
        "start": "2026-12-09T14:00:00Z",
        "end": "2026-12-09T15:00:00Z",
        "basedOn": [{"reference": "ServiceRequest/sr1"}],
        "participant": [
            {"actor": {"reference": "Patient/p1"}, "status": "accepted"},
            {"actor": {"reference": "Practitioner/d1"}, "status": "needs-action"},
        ],
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def booked(*appointments: Json, **prefetch: Any) -> Json:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": each} for each in appointments]}
    return hook_request("appointment-book", {"appointments": bundle}, **prefetch)


# --- order-dispatch -----------------------------------------------------------------------------------------------
TASK: Json = {
    "resourceType": "Task",
    "status": "requested",
    "intent": "order",
    "basedOn": [{"reference": "MedicationRequest/mr1"}],
}
FORMS: dict[str, Json] = {
    "hook 1.1": {"dispatchedOrders": ["MedicationRequest/mr1"], "performer": "Organization/o1"},
    "with tasks": {"dispatchedOrders": ["MedicationRequest/mr1"], "fulfillmentTasks": [TASK]},
    "ballot": {"order": "MedicationRequest/mr1", "performer": "Organization/o1", "task": TASK},
    "one task": {"order": "MedicationRequest/mr1", "fulfillmentTask": "Task/t1"},
    "task alone": {"fulfillmentTask": {**TASK, "focus": {"reference": "MedicationRequest/mr1"}, "basedOn": []}},
    "based on": {"performer": "Organization/o1", "task": TASK},
    "absolute": {"dispatchedOrders": ["https://ehr.example.org/fhir/MedicationRequest/mr1"]},
}


@VERSIONS
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.requirement("hook-33", "resp-26", "hook-16")
async def test_every_form_of_dispatch_is_understood(endpoint: Endpoint, form: str, version: str) -> None:
    order = medication_request(status="active")
    body = hook_request("order-dispatch", FORMS[form], version=version, medicationRequests=searchset(order))
    del body["context"]["userId"]
    response = await endpoint.call(body)
    (action,) = response["systemActions"]
    assert action["resource"].pop("extension")
    assert action["resource"] == order
    told = said(await endpoint.call(body))
    assert (told["pa-needed"], told["questionnaire"]) == (["auth-needed"], [f"{INITIAL_FORM}|1.0.0"])


@pytest.mark.requirement("hook-30", "resp-29")
async def test_each_dispatched_order_is_answered_whatever_it_is(endpoint: Endpoint) -> None:
    device = {
        "resourceType": "DeviceRequest",
        "id": "dr1",
        "intent": "order",
        "codeCodeableConcept": {"text": "pump"},
        "subject": {"reference": "Patient/p1"},
    }
    names = ("DeviceRequest/dr1", "MedicationRequest/mr2", "MedicationRequest/mr1", "ServiceRequest/gone")
    orders = searchset(medication_request(), ASPIRIN, medication_request(id="not-dispatched"))
    body = dispatched(*names, medicationRequests=orders, theirOwnKey=device)
    response = await endpoint.call(body)
    assert [a["resource"]["id"] for a in response["systemActions"]] == ["dr1", "mr2", "mr1"]
    assert [said(response, n)["covered"] for n in range(3)] == [["conditional"], ["conditional"], ["covered"]]


async def test_a_dispatched_order_that_did_not_come_is_asked_for(endpoint: Endpoint) -> None:
    body = dispatched("MedicationRequest/mr1", "ServiceRequest/sr1", patient=patient())
    issues = await endpoint.refused(body, 412)
    assert issues[0]["expression"] == ["prefetch.medicationRequests", "prefetch.serviceRequests"]
    failed = {"resourceType": "OperationOutcome", "issue": []}
    (issue,) = await endpoint.refused(dispatched(medicationRequests=failed), 412)
    assert issue["expression"] == ["prefetch.medicationRequests"]


@pytest.mark.parametrize("sent", [None, searchset()])
@pytest.mark.requirement("found-32")
async def test_no_order_where_the_client_has_none_is_no_error(endpoint: Endpoint, sent: Any) -> None:
    assert await endpoint.call(dispatched(medicationRequests=sent)) == {"cards": [], "systemActions": []}


@pytest.mark.parametrize("context", [{}, {"dispatchedOrders": []}, {"task": "Task/1"}, {"fulfillmentTask": {}}])
async def test_a_dispatch_of_nothing_is_refused(endpoint: Endpoint, context: Json) -> None:
    (issue,) = await endpoint.refused(hook_request("order-dispatch", context), 400)
    assert issue["expression"] == ["context.dispatchedOrders"]


@pytest.mark.parametrize("context", [{"dispatchedOrders": "x"}, {"dispatchedOrders": [3]}, {"order": {}}])
async def test_a_dispatch_has_a_shape(endpoint: Endpoint, context: Json) -> None:
    await endpoint.refused(hook_request("order-dispatch", context), 400)


async def test_a_dispatched_order_that_breaks_fhir_is_refused(endpoint: Endpoint) -> None:
    broken = medication_request(subject=None)
    issues = await endpoint.refused(dispatched(medicationRequests=searchset(broken)), 400)
    assert issues[0]["expression"] == ["prefetch.subject"]


# --- appointment-book ---------------------------------------------------------------------------------------------
@VERSIONS
@pytest.mark.requirement("hook-26", "resp-26", "hook-16")
async def test_the_answer_to_an_appointment_stands_on_its_order(endpoint: Endpoint, version: str) -> None:
    body = booked(appointment(), serviceRequests=searchset(service_request(status="active")))
    body["extension"] = {"davinci-crd.requestedVersion": version}
    response = await endpoint.call(body)
    (action,) = response["systemActions"]
    assert (action["resource"]["resourceType"], action["resource"]["id"]) == ("ServiceRequest", "sr1")
    assert said(response)["pa-needed"] == ["auth-needed"]


async def test_an_order_beside_the_reference_is_found(endpoint: Endpoint) -> None:
    other = {"url": ALTERNATE, "valueReference": {"reference": "MedicationRequest/mr1"}}
    booking = appointment(basedOn=[{"extension": [other], "display": "infusion"}])
    response = await endpoint.call(booked(booking, medicationRequests=searchset(medication_request())))
    assert response["systemActions"][0]["resource"]["id"] == "mr1"


async def test_the_day_of_the_appointment_is_the_day_of_service(endpoint: Endpoint) -> None:
    early = appointment(id="ap2", start="2026-03-20T14:00:00Z")
    orders = searchset(service_request())
    assert said(await endpoint.call(booked(appointment(), serviceRequests=orders)))["covered"] == ["covered"]
    told = said(await endpoint.call(booked(appointment(), early, serviceRequests=orders)))
    assert "No revision" in told["reason"][0]["text"]


async def test_an_order_in_two_appointments_is_answered_once(endpoint: Endpoint) -> None:
    both = booked(appointment(), appointment(id="ap2"), serviceRequests=searchset(service_request()))
    assert len((await endpoint.call(both))["systemActions"]) == 1


@VERSIONS
@pytest.mark.parametrize("based_on", [None, [{"reference": "ServiceRequest/gone"}], [{"display": "x"}]])
@pytest.mark.requirement("hook-26", "hook-16")
async def test_without_its_order_the_appointment_is_answered(endpoint: Endpoint, version: str, based_on: Any) -> None:
    drug = {"coding": [{"system": HCPCS, "code": "J0000"}]}
    named = booked(appointment(basedOn=based_on, serviceType=[drug]))
    unnamed = booked(appointment(basedOn=based_on))
    for body, expected in ((named, "covered"), (unnamed, "conditional")):
        body["extension"] = {"davinci-crd.requestedVersion": version}
        response = await endpoint.call(body)
        assert response["systemActions"][0]["resource"]["resourceType"] == "Appointment"
        assert said(response)["covered"] == [expected]


async def test_somebody_elses_appointment_is_not_decided(endpoint: Endpoint) -> None:
    other = appointment(participant=[{"actor": {"reference": "Patient/p2"}, "status": "accepted"}])
    body = booked(other)
    body["extension"] = {"davinci-crd.requestedVersion": "2.2"}
    told = said(await endpoint.call(body))
    assert told["covered"] == ["indeterminate"]


@pytest.mark.parametrize("appointments", [None, [], {"resourceType": "Appointment"}])
async def test_appointments_are_a_bundle(endpoint: Endpoint, appointments: Any) -> None:
    context = {} if appointments is None else {"appointments": appointments}
    (issue,) = await endpoint.refused(hook_request("appointment-book", context), 400)
    assert issue["expression"] == ["context.appointments"]


# --- encounter-start and encounter-discharge ----------------------------------------------------------------------
ENCOUNTER = pytest.mark.parametrize("hook", ["encounter-start", "encounter-discharge"])


@ENCOUNTER
@pytest.mark.requirement("resp-27", "resp-28", "ops-1")
async def test_active_orders_of_the_drug_are_told_what_they_need(endpoint: Endpoint, hook: str) -> None:
    orders = searchset(
        medication_request(status="active"),
        ASPIRIN,
        medication_request(id="stopped", status="stopped"),
        medication_request(id="foreign", status="active", subject={"reference": "Patient/p2"}),
        medication_request(id="broken", status="active", intent=None),
    )
    response = await endpoint.call(hook_request(hook, {}, medicationRequests=orders))
    (action,) = response["systemActions"]
    assert action["resource"]["id"] == "mr1"
    assert facts_of(action)["questionnaire"] == [f"{INITIAL_FORM}|1.0.0"]
    assert len(response["cards"]) == 2


def facts_of(action: Json) -> dict[str, list[Any]]:
    assert len(blocks(action["resource"])) == 1
    return said({"systemActions": [action]})


@ENCOUNTER
@pytest.mark.parametrize(
    "prefetch",
    [
        {"medicationRequests": None, "serviceRequests": None},
        {"medicationRequests": searchset()},
        {"coverage": None, "medicationRequests": searchset(ASPIRIN)},
        {"a key of the client's own": searchset(ASPIRIN)},
    ],
)
@pytest.mark.requirement("found-13", "found-32")
async def test_with_nothing_to_say_an_encounter_gets_no_cards(endpoint: Endpoint, hook: str, prefetch: Any) -> None:
    body = hook_request(hook, {})
    body["prefetch"] = prefetch
    assert await endpoint.call(body) == {"cards": []}


@ENCOUNTER
@pytest.mark.parametrize("version", ["2.2", "2.0"])
@pytest.mark.parametrize("prefetch", [None, {}, {"patient": None}])
@pytest.mark.requirement("hook-9", "hook-10")
async def test_an_encounter_of_which_nothing_can_be_known_is_refused(
    endpoint: Endpoint, hook: str, prefetch: Any, version: str
) -> None:
    """No cards would mean that nothing is needed (CDS Hooks: 412 where data is absent and cannot be asked for)."""
    body = {**hook_request(hook, {}), "prefetch": prefetch, "extension": {"davinci-crd.requestedVersion": version}}
    if prefetch is None:
        del body["prefetch"]
    (issue,) = await endpoint.refused(body, 412)
    assert issue["expression"] == ["prefetch.medicationRequests", "prefetch.serviceRequests"]


@ENCOUNTER
@pytest.mark.parametrize("version", ["2.2", "2.0"])
@pytest.mark.requirement("found-32", "found-34")
async def test_an_encounter_without_its_orders_is_told_that_they_were_not_checked(
    endpoint: Endpoint, hook: str, version: str
) -> None:
    """As a test suite sends it: the encounter alone, with a server that is not called from here."""
    encounter = {"resourceType": "Encounter", "id": "none", "status": "in-progress", "class": {"code": "AMB"}}
    body = {**hook_request(hook, {}, version=version), "fhirServer": "https://ehr.example.org/fhir"}
    for prefetch in ({"encounter": encounter}, {"patient": patient(), "coverage": searchset(coverage(), payer())}):
        response = await endpoint.call({**body, "prefetch": prefetch})
        (card,) = response["cards"]
        assert card["summary"] == "Active orders could not be checked for prior authorization"
        assert "systemActions" not in response


# --- one order through all hooks ----------------------------------------------------------------------------------
async def test_one_order_keeps_its_id_from_selecting_to_discharge(endpoint: Endpoint) -> None:
    active = medication_request(status="active")
    calls = [
        request(hook="order-select"),
        request(),
        request(active),
        dispatched(medicationRequests=searchset(active)),
        booked(appointment(basedOn=[{"reference": "MedicationRequest/mr1"}]), medicationRequests=searchset(active)),
        hook_request("encounter-discharge", {}, medicationRequests=searchset(active)),
    ]
    ids = {said(await endpoint.call(body))["coverage-assertion-id"][0] for body in calls}
    assert len(ids) == 1


@VERSIONS
@pytest.mark.requirement("resp-35")
async def test_nothing_is_sent_again_at_dispatch(endpoint: Endpoint, version: str) -> None:
    order = (await endpoint.call(request(version=version)))["systemActions"][0]["resource"]
    body = dispatched(medicationRequests=searchset({**order, "status": "active"}))
    body["extension"] = {"davinci-crd.requestedVersion": version}
    again = await endpoint.call(body)
    assert again.get("systemActions") == ([] if version == "2.0" else None)


# --- what the kits look at ----------------------------------------------------------------------------------------
PRIMARY = {
    "order-sign": request(),
    "order-dispatch": dispatched(),
    "appointment-book": booked(appointment(), serviceRequests=searchset(service_request())),
}


@VERSIONS
@pytest.mark.parametrize("hook", PRIMARY)
async def test_answers_have_the_structure_that_kits_check(opened: Opened, hook: str, version: str) -> None:
    """Inferno CRD server suite 0.13.0, structural checks x.05 to x.11 (crd.md section 2)."""
    body = copy.deepcopy(PRIMARY[hook])
    body["extension"] = {"davinci-crd.requestedVersion": version}
    response = await opened(settings=Settings(trust_presented_coverage=True)).call(body)
    external = instructions = 0
    for card in response["cards"]:
        assert len(card["summary"]) < 140
        assert card["indicator"] in {"info", "warning", "critical"}
        assert card["source"]["label"]
        assert {"system", "code"} <= set(card["source"]["topic"])
        kinds = {link["type"] for link in card.get("links", [])}
        assert kinds <= {"absolute"}
        assert all("appContext" not in link for link in card.get("links", []))
        external += kinds == {"absolute"}
        instructions += not {"links", "suggestions"} & set(card)
    assert (external, instructions) == (1, 1)
    assert response["systemActions"]
    for action in response["systemActions"]:
        assert action["type"] == "update"
        assert action["description"]
        by_coverage: dict[str, set[str]] = {}
        for block in blocks(action["resource"]):
            told = said({"systemActions": [{"resource": {"extension": [block]}}]})
            by_coverage.setdefault(told["coverage"][0]["reference"], set()).update(told["coverage-assertion-id"])
        assert [len(ids) for ids in by_coverage.values()] == [1]
    assert "null" not in json.dumps(response)


@pytest.mark.requirement("resp-32")
async def test_coverages_of_one_order_have_ids_of_their_own(endpoint: Endpoint) -> None:
    order = (await endpoint.call(request()))["systemActions"][0]["resource"]
    body = request(order)
    body["prefetch"]["coverage"] = searchset(coverage(id="cov2"), payer())
    action = (await endpoint.call(body))["systemActions"][0]
    ids = [said({"systemActions": [{"resource": {"extension": [b]}}]}) for b in blocks(action["resource"])]
    assert len({told["coverage-assertion-id"][0] for told in ids}) == 2
