"""What an answer may depend on: any US Core version, and no element or resource that a client need not send."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from service.fhir.canonical import CRD_COVERAGE_INFORMATION, HCPCS, NPI
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.test_other_hooks import appointment, booked, dispatched, hook_request
from tests.unit.crd.world import (
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

Guide = Callable[[str], dict[str, Any]]
VERSIONS = pytest.mark.parametrize("version", ["2.0", "2.2"])
DRUG: Final = {"coding": [{"system": HCPCS, "code": "J0000"}]}


# --- US Core ------------------------------------------------------------------------------------------------------
def examples(package: dict[str, Any], kind: str) -> list[Json]:
    return [
        resource
        for name, resource in sorted(package.items())
        if name.startswith("example/") and resource.get("resourceType") == kind
    ]


def of_patient(person: Json, order: Json, insurance: Json) -> Json:
    """A call about somebody else's example patient; the order and the insurance are that patient's."""
    name = {"reference": f"Patient/{person['id']}"}
    body = request({**order, "subject": name})
    body["context"]["patientId"] = person["id"]
    held = {**insurance, "beneficiary": name, "payor": [{"reference": "Organization/payer"}]}
    body["prefetch"] = {"patient": person, "coverage": searchset(held, payer())}
    return body


@pytest.mark.requirement("conf-2")
@pytest.mark.parametrize("number", ["3.1.1", "6.1.0", "7.0.0"])
async def test_records_of_every_us_core_are_read(endpoint: Endpoint, guide: Guide, number: str) -> None:
    package = guide(f"us-core-{number}")
    people = examples(package, "Patient")
    orders = [*examples(package, "MedicationRequest"), *examples(package, "ServiceRequest")]
    # The oldest has no profile of Coverage.
    insurances = examples(package, "Coverage") or [coverage()]
    assert people
    assert orders
    for index, order in enumerate(orders):
        body = of_patient(people[index % len(people)], order, insurances[0])
        body["prefetch"]["medications"] = searchset(*examples(package, "Medication"))
        (action,) = (await endpoint.call(body))["systemActions"]
        given = [e for e in action["resource"].get("extension", []) if e["url"] != CRD_COVERAGE_INFORMATION]
        assert given == order.get("extension", [])
        assert action["resource"]["id"] == order["id"]


@pytest.mark.requirement("conf-2", "conf-4")
@pytest.mark.parametrize("number", ["3.1.1", "6.1.0", "7.0.0"])
async def test_the_drug_is_found_in_an_order_of_every_us_core(endpoint: Endpoint, guide: Guide, number: str) -> None:
    package = guide(f"us-core-{number}")
    (person, *_), insurances = examples(package, "Patient"), examples(package, "Coverage") or [coverage()]
    for order in examples(package, "MedicationRequest"):
        held = {key: value for key, value in order.items() if key not in ("medicationReference", "dosageInstruction")}
        wanted = {**held, "medicationCodeableConcept": DRUG, "authoredOn": "2026-12-01"}
        told = said(await endpoint.call(of_patient(person, wanted, insurances[0])))
        assert (told["covered"], told["pa-needed"]) == (["covered"], ["auth-needed"])


# --- elements that a client may leave out ---------------------------------------------------------------------------
RICH: Final[tuple[Json, ...]] = (
    medication_request(
        identifier=[{"system": "https://ehr.example.org/order", "value": "7"}],
        category=[{"text": "outpatient"}],
        priority="urgent",
        encounter={"reference": "Encounter/e1"},
        supportingInformation=[{"reference": "Observation/o1"}],
        reasonCode=[{"text": "why"}],
        note=[{"text": "soon"}],
        insurance=[{"reference": "Coverage/cov1"}],
        groupIdentifier={"value": "g"},
        courseOfTherapyType={"text": "acute"},
    ),
    service_request(
        identifier=[{"value": "8"}],
        requester={"reference": "Practitioner/d1"},
        priority="urgent",
        orderDetail=[{"text": "x"}],
        supportingInfo=[{"reference": "Observation/o1"}],
        note=[{"text": "soon"}],
        insurance=[{"reference": "Coverage/cov1"}],
        patientInstruction="drink",
    ),
    {
        **coverage(relationship={"text": "self"}, type={"text": "PPO"}),
        "policyHolder": {"reference": "Patient/p1"},
        "subscriber": {"reference": "Patient/p1"},
        "network": "N",
        "order": 1,
        "class": [{"type": {"text": "plan"}, "value": "GOLD"}],
        "costToBeneficiary": [{"type": {"text": "copay"}, "valueMoney": {"value": 5}}],
        "subrogation": False,
    },
    {**payer(), "active": True, "alias": ["P"], "telecom": [{"system": "phone", "value": "1"}]},
    {
        **patient(),
        "identifier": [{"type": {"coding": [{"code": "MB"}]}, "value": "M-1"}],
        "gender": "female",
        "photo": [{"title": "x"}],
        "maritalStatus": {"text": "m"},
        "generalPractitioner": [{"reference": "Practitioner/d1"}],
    },
    {
        "resourceType": "Practitioner",
        "id": "d1",
        "identifier": [{"system": NPI, "value": "1234567893"}],
        "name": [{"family": "House"}],
        "qualification": [{"code": {"text": "MD"}}],
        "birthDate": "1960-01-01",
    },
)


def profile_of(package: dict[str, Any], kind: str) -> Json:
    profile: Json = package[f"StructureDefinition-profile-{kind.lower()}.json"]
    return profile


def call_with(resources: list[Json], version: str) -> Json:
    medication, service, insurance, insurer, person, orderer = resources
    body = request(medication, service, version=version)
    body["prefetch"] = {
        "patient": person,
        "coverage": searchset(insurance, insurer),
        "practitioners": searchset(orderer),
    }
    return body


def reduced(resource: Json, profile: Json, *, supported: bool) -> Json:
    """The resource with the elements that its profile makes mandatory, and those that must be supported if wanted."""
    kept = {"resourceType", "id"}
    for element in profile["snapshot"]["element"]:
        name = element["path"].partition(".")[2]
        if name and "." not in name and (element["min"] > 0 or (supported and element.get("mustSupport"))):
            kept.add(name)
    return {
        name: value
        for name, value in resource.items()
        if name in kept or any(each.endswith("[x]") and name.startswith(each[:-3]) for each in kept)
    }


def told_of(answer: Json) -> list[dict[str, Any]]:
    """What is said of each order, but for its id."""
    told = [said(answer, index) for index in range(len(answer["systemActions"]))]
    return [{url: values for url, values in each.items() if url != "coverage-assertion-id"} for each in told]


@pytest.mark.requirement("conf-8", "conf-4")
@VERSIONS
async def test_elements_that_need_not_be_supported_change_nothing(
    endpoint: Endpoint, guide: Guide, version: str
) -> None:
    package = guide("crd-2.2.1")
    everything = await endpoint.call(call_with(list(RICH), version))
    fewer = [reduced(resource, profile_of(package, resource["resourceType"]), supported=True) for resource in RICH]
    assert sum(map(len, fewer)) < sum(map(len, RICH)) - 10
    answer = await endpoint.call(call_with(fewer, version))
    assert told_of(answer) == told_of(everything)
    assert told_of(answer)[0]["questionnaire"]


@pytest.mark.requirement("conf-8", "conf-12", "found-34")
@VERSIONS
async def test_what_is_mandatory_is_enough_for_an_answer(endpoint: Endpoint, guide: Guide, version: str) -> None:
    package = guide("crd-2.2.1")
    least = [reduced(resource, profile_of(package, resource["resourceType"]), supported=False) for resource in RICH]
    assert "subscriberId" not in least[2]
    assert [told["pa-needed"] for told in told_of(await endpoint.call(call_with(least, version)))] == [
        ["auth-needed"],
        ["auth-needed"],
    ]


def without_one(profiles: Callable[[str], Json]) -> Iterator[tuple[str, list[Json]]]:
    """The resources with one optional element of one of them left out at a time."""
    for index, resource in enumerate(RICH):
        needed = set(reduced(resource, profiles(resource["resourceType"]), supported=False))
        for name in set(resource) - needed:
            changed = copy.deepcopy(list(RICH))
            del changed[index][name]
            yield f"{resource['resourceType']}.{name}", changed


@pytest.mark.requirement("conf-12")
async def test_no_optional_element_is_missed(endpoint: Endpoint, guide: Guide) -> None:
    package = guide("crd-2.2.1")
    left_out = list(without_one(lambda kind: profile_of(package, kind)))
    assert len(left_out) > 25
    for name, resources in left_out:
        answer = await endpoint.call(call_with(resources, "2.2"))
        assert [each["pa-needed"] for each in told_of(answer)] == [["auth-needed"]] * 2, name


@pytest.mark.requirement("conf-7", "conf-9", "hook-22")
@VERSIONS
async def test_resources_that_no_profile_of_the_guide_covers_change_nothing(endpoint: Endpoint, version: str) -> None:
    plain = await endpoint.call(request(version=version))
    body = request(version=version)
    body["prefetch"]["more"] = searchset(
        {"resourceType": "Basic", "id": "b1", "code": {"text": "payer's own"}},
        {"resourceType": "CoverageEligibilityResponse", "id": "c1", "status": "active"},
        {"resourceType": "Flag", "id": "f1", "code": {"text": "no"}, "subject": {"reference": "Patient/p1"}},
    )
    again = await endpoint.call(body)
    assert told_of(again) == told_of(plain)
    assert [card["detail"] for card in again["cards"]] == [card["detail"] for card in plain["cards"]]
    assert told_of(plain)[0]["questionnaire"]


# --- one endpoint for everything ------------------------------------------------------------------------------------
@pytest.mark.requirement("found-15")
@pytest.mark.parametrize("plan", ["MCPOL", "SUBSIDIZ", "PPO", "HMO"])
async def test_every_line_of_business_is_answered_at_the_one_endpoint(endpoint: Endpoint, plan: str) -> None:
    """Codes of v3-ActCode, as Coverage.type has them."""
    kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": plan}]}
    body = request(prefetch={"coverage": searchset(coverage(type=kind), payer())})
    assert said(await endpoint.call(body))["covered"] == ["covered"]
    services = (await endpoint.http.get("/cds-services")).json()["services"]
    assert len({service["hook"] for service in services}) == len(services)


PERSON: Final = {"reference": "Patient/p1"}
DOCTOR: Final = {"reference": "Practitioner/d1"}
KINDS: Final[dict[str, Json]] = {
    "MedicationRequest": medication_request(),
    "ServiceRequest": service_request(),
    "DeviceRequest": {"intent": "order", "codeCodeableConcept": {"text": "pump"}, "subject": PERSON},
    "NutritionOrder": {"status": "draft", "intent": "order", "patient": PERSON, "dateTime": "2026-12-01"},
    "CommunicationRequest": {"status": "draft", "subject": PERSON},
    "VisionPrescription": {
        "status": "draft",
        "created": "2026-12-01",
        "patient": PERSON,
        "dateWritten": "2026-12-01",
        "prescriber": DOCTOR,
        "lensSpecification": [{"product": {"text": "lens"}, "eye": "left"}],
    },
}


@pytest.mark.requirement("hook-4", "resp-29")
@pytest.mark.parametrize("kind", KINDS)
async def test_orders_of_every_kind_are_answered(endpoint: Endpoint, kind: str) -> None:
    order = {"resourceType": kind, "id": "o1", **KINDS[kind]}
    calls = [
        request(order, version="2.2"),
        request(order, hook="order-select", version="2.2"),
        {**dispatched(f"{kind}/{order['id']}", any=order), "extension": {"davinci-crd.requestedVersion": "2.2"}},
    ]
    for body in calls:
        (action,) = (await endpoint.call(body))["systemActions"]
        assert (action["resource"]["resourceType"], action["resource"]["id"]) == (kind, order["id"])


# --- configuration ------------------------------------------------------------------------------------------------
@pytest.mark.requirement("dev-15")
@pytest.mark.parametrize(
    "body",
    [
        request(),
        request(hook="order-select"),
        dispatched(),
        booked(appointment(), serviceRequests=searchset(service_request())),
        hook_request("encounter-start", {}, medicationRequests=searchset(medication_request(status="active"))),
        hook_request("encounter-discharge", {}, medicationRequests=searchset(medication_request(status="active"))),
    ],
    ids=lambda body: str(body["hook"]),
)
async def test_no_hook_needs_a_configuration(endpoint: Endpoint, body: Json) -> None:
    plain = await endpoint.call(body)
    assert plain["systemActions"]
    empty = await endpoint.call({**body, "extension": {"davinci-crd.configuration": {}}})
    assert told_of(empty) == told_of(plain)
