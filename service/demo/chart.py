"""One patient's chart with the order in question: the records that the clinic's requests are made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from service.demo.store import EhrStore
from service.errors import MissingElement
from service.fhir.build import Json
from service.fhir.canonical import ICD10_CM

PRACTITIONER = "oncologist"
ROLE = "oncologist-role"
CLINIC = "clinic"
PAYER = "payer"


@dataclass(frozen=True, slots=True)
class Chart:
    """Resources as the EHR holds them. `base` is the EHR's FHIR base, without a slash at its end."""

    base: str
    patient: Json
    coverage: Json
    order: Json
    practitioner: Json
    role: Json
    clinic: Json
    payer: Json
    records: tuple[Json, ...]

    def of(self, kind: str) -> tuple[Json, ...]:
        """The patient's records of one type."""
        return tuple(record for record in self.records if record["resourceType"] == kind)

    @property
    def service_period(self) -> tuple[str, str]:
        """First and last day that the order is for, as dates."""
        period = self.order["dispenseRequest"]["validityPeriod"]
        return period["start"], period["end"]

    @property
    def diagnoses(self) -> tuple[Json, ...]:
        """ICD-10-CM Codings of the conditions that the order names as its reason."""
        reasons = {reference["reference"] for reference in self.order.get("reasonReference", ())}
        return tuple(
            coding
            for condition in self.of("Condition")
            if f"Condition/{condition['id']}" in reasons
            for coding in condition["code"]["coding"]
            if coding.get("system") == ICD10_CM
        )


def open_chart(store: EhrStore, base: str, patient_id: str, order_id: str) -> Chart:
    """The chart of a patient, for one order; NotFound, or MissingElement without an active coverage."""
    records = store.records_of(patient_id)
    coverage = next(
        (r for r in records if r["resourceType"] == "Coverage" and r.get("status") == "active"),
        None,
    )
    if coverage is None:
        raise MissingElement("The chart holds no active coverage. Add one before ordering.")
    return Chart(
        base=base,
        patient=store.read("Patient", patient_id),
        coverage=coverage,
        order=store.read("MedicationRequest", order_id),
        practitioner=store.read("Practitioner", PRACTITIONER),
        role=store.read("PractitionerRole", ROLE),
        clinic=store.read("Organization", CLINIC),
        payer=store.read("Organization", PAYER),
        records=records,
    )


def age_on(birth_date: str, day: date) -> int:
    """Whole years from a full date of birth."""
    born = date.fromisoformat(birth_date)
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def person_name(resource: Json) -> str:
    """A person's name as written on a chart."""
    names: Any = resource.get("name") or [{}]
    name = names[0]
    return " ".join([*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]).strip()
