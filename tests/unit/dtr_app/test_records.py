"""What is read of the chart: the order's own patient, the right coverage, and who is who."""

from __future__ import annotations

import pytest

from service.dtr.app.records import open_orders, read_matter, read_parties
from service.errors import MissingElement
from tests.unit.dtr_app.clinic import BASE, ORDER, PATIENT, Clinic

COVERAGE = f"Coverage/{PATIENT}-coverage"


async def test_an_order_of_another_patient_is_refused(clinic: Clinic) -> None:
    clinic.change(ORDER, subject={"reference": "Patient/another"})
    with pytest.raises(MissingElement, match="not this patient's"):
        await read_matter(clinic.ehr(), PATIENT, ORDER, None)


@pytest.mark.parametrize(
    "order", ["MedicationRequest/none", "https://elsewhere.example.org/fhir/MedicationRequest/1"]
)
async def test_an_order_that_cannot_be_read_is_told(clinic: Clinic, order: str) -> None:
    with pytest.raises(MissingElement, match="could not be read"):
        await read_matter(clinic.ehr(), PATIENT, order, None)


@pytest.mark.parametrize("said", [COVERAGE, f"{BASE}/{COVERAGE}", None, "Coverage/none"])
async def test_the_coverage_is_the_launchs_else_the_orders_else_the_only_one(
    clinic: Clinic, said: str | None
) -> None:
    matter = await read_matter(clinic.ehr(), PATIENT, ORDER, said)
    assert matter.coverage["id"] == f"{PATIENT}-coverage"


async def test_of_two_coverages_none_is_guessed(clinic: Clinic) -> None:
    second = {**clinic.store.read(*COVERAGE.split("/")), "id": "second"}
    clinic.store.put(second)
    clinic.change(ORDER, insurance=None)
    with pytest.raises(MissingElement, match="which coverage"):
        await read_matter(clinic.ehr(), PATIENT, ORDER, None)
    assert (await read_matter(clinic.ehr(), PATIENT, ORDER, "Coverage/second")).coverage == second


async def test_a_coverage_of_another_person_is_none(clinic: Clinic) -> None:
    clinic.change(COVERAGE, beneficiary={"reference": "Patient/another"})
    with pytest.raises(MissingElement, match="which coverage"):
        await read_matter(clinic.ehr(), PATIENT, ORDER, COVERAGE)


async def test_who_asks_is_found_by_the_practitioner(clinic: Clinic) -> None:
    matter = await read_matter(clinic.ehr(), PATIENT, ORDER, None)
    parties = await read_parties(clinic.ehr(), matter)
    kinds = [held and held["resourceType"] for held in (parties.practitioner, parties.role, parties.organization)]
    assert kinds == ["Practitioner", "PractitionerRole", "Organization"]
    assert parties.insurer is not None


async def test_open_orders_are_the_patients_and_still_open(clinic: Clinic) -> None:
    order = clinic.store.read(*ORDER.split("/"))
    clinic.store.put({**order, "id": "done", "status": "completed"})
    clinic.silent |= {"ServiceRequest"}
    found = {each["id"] for each in await open_orders(clinic.ehr(), PATIENT)}
    assert f"{PATIENT}-order" in found
    assert "done" not in found
