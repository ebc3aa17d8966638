"""The EHR's records: read, found within one patient, forgotten."""

from __future__ import annotations

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.demo.store import EhrStore
from service.errors import NotFound, NotSupported
from service.fhir.build import Json


def condition(number: int, patient: str, code: str, status: str = "final") -> Json:
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": status,
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
    }


@pytest.fixture
def store() -> EhrStore:
    made = EhrStore()
    made.put({"resourceType": "Patient", "id": "a"})
    made.put({"resourceType": "Coverage", "id": "c", "beneficiary": {"reference": "Patient/a"}, "status": "active"})
    for number, (patient, code) in enumerate([("a", "97509-4"), ("a", "31206-6"), ("b", "97509-4")]):
        made.put(condition(number, patient, code))
    return made


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({"patient": "a"}, ["o0", "o1"]),
        ({"patient": "Patient/a"}, ["o0", "o1"]),
        ({"subject": "b"}, ["o2"]),
        ({"patient": "a", "code": "97509-4"}, ["o0"]),
        ({"patient": "a", "code": "http://loinc.org|97509-4,31206-6"}, ["o0", "o1"]),
        ({"patient": "a", "code": "http://snomed.info/sct|97509-4"}, []),
        ({"patient": "a", "code": "|97509-4"}, []),
        ({"patient": "a", "status": "preliminary"}, []),
        ({"_id": "o2"}, ["o2"]),
    ],
)
def test_search(store: EhrStore, parameters: dict[str, str], found: list[str]) -> None:
    assert [resource["id"] for resource in store.search("Observation", parameters)] == found


def test_coverage_is_found_by_its_beneficiary(store: EhrStore) -> None:
    assert [r["id"] for r in store.search("Coverage", {"patient": "a", "status": "active"})] == ["c"]


@pytest.mark.parametrize("parameters", [{}, {"status": "final"}, {"patient": "a", "value-quantity": "1"}])
def test_no_listing_across_patients_and_no_unknown_parameter(store: EhrStore, parameters: dict[str, str]) -> None:
    with pytest.raises(NotSupported):
        store.search("Observation", parameters)


def test_forgetting_leaves_other_patients(store: EhrStore) -> None:
    store.forget("a")
    with pytest.raises(NotFound):
        store.read("Patient", "a")
    assert store.read("Observation", "o2")["id"] == "o2"
    assert store.records_of("a") == ()


async def test_reading_and_searching_over_http(browser: httpx.AsyncClient) -> None:
    patient = await browser.get("/demo/fhir/Patient/male")
    assert patient.headers["content-type"] == "application/fhir+json"
    assert patient.json()["gender"] == "male"
    found = (await browser.get("/demo/fhir/Condition", params={"patient": "male"})).json()
    get_fhir_model_class("Bundle").model_validate(found)
    assert (found["type"], found["total"]) == ("searchset", 1)
    assert found["entry"][0]["fullUrl"] == "http://127.0.0.1:8080/demo/fhir/Condition/male-condition-1"
    assert (await browser.get("/demo/fhir/Patient/nobody")).status_code == 404
    assert (await browser.get("/demo/fhir/Patient")).status_code == 400
    capability = (await browser.get("/demo/fhir/metadata")).json()
    get_fhir_model_class("CapabilityStatement").model_validate(capability)
