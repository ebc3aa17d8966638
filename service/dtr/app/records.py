"""What the app reads from the EHR: the order and everyone around it, and of the chart what the form's logic wants."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.errors import EhrUnavailable, MissingElement
from service.ports import EhrClient, Resource

# Types of a data requirement that are searched by patient; a Medication is read where something refers to it.
_BY_PATIENT: Final = frozenset(
    {
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "Encounter",
        "Immunization",
        "MedicationAdministration",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Procedure",
        "ServiceRequest",
    }
)
_MOST_REFERENCES: Final = 40


@dataclass(frozen=True, slots=True)
class Parties:
    """Who asks, and who is asked; None where the EHR does not say."""

    practitioner: Resource | None
    role: Resource | None
    organization: Resource | None
    insurer: Resource | None


@dataclass(frozen=True, slots=True)
class Matter:
    """One order of one patient, as the EHR holds it."""

    patient: Resource
    order: Resource
    coverage: Resource
    medication: Resource | None


@dataclass(frozen=True, slots=True)
class ChartRead:
    """Records of the chart; `unread` are the types that the EHR did not give, or not all of."""

    records: tuple[Resource, ...]
    unread: tuple[str, ...]


async def read_at(ehr: EhrClient, reference: Any) -> Resource | None:
    """What a Reference's text leads to on this server; None when it leads elsewhere, or cannot be read."""
    named = ehr.named(reference) if isinstance(reference, str) else None
    if named is None:
        return None
    try:
        return await ehr.read(*named)
    except EhrUnavailable:
        return None


async def read_matter(ehr: EhrClient, patient_id: str, order_at: str, coverage_at: str | None) -> Matter:
    """The order with its patient and coverage. MissingElement when one is not to be had, or is another patient's."""
    patient, order = await asyncio.gather(ehr.read("Patient", patient_id), read_at(ehr, order_at))
    if order is None:
        raise MissingElement("The order could not be read from the EHR. Open the app from the order again.")
    if not is_about(ehr, order, patient_id):
        raise MissingElement("The order is not this patient's. Open the app from the patient's own order.")
    coverage = await _coverage(ehr, patient_id, order, coverage_at)
    medication = await read_at(ehr, (order.get("medicationReference") or {}).get("reference"))
    return Matter(patient, order, coverage, medication)


async def open_orders(ehr: EhrClient, patient_id: str) -> tuple[Resource, ...]:
    """Orders of the patient that may still need an authorization, for the user to pick from."""
    found: list[Resource] = []
    for kind in ("MedicationRequest", "ServiceRequest", "DeviceRequest"):
        try:
            searched = await ehr.search(kind, ("patient", patient_id), ("status", "draft,active,on-hold"))
        except EhrUnavailable:
            continue
        found += [order for order in searched.resources if is_about(ehr, order, patient_id)]
    return tuple(found)


async def read_chart(ehr: EhrClient, matter: Matter, libraries: Iterable[Resource]) -> ChartRead:
    """What the libraries' data requirements name, of this patient. A type that cannot be read is told, not fatal."""
    patient_id = matter.patient["id"]
    wanted = {
        requirement.get("type")
        for library in libraries
        for requirement in library.get("dataRequirement") or ()
        if requirement.get("type") in _BY_PATIENT
    }
    kinds = sorted(str(kind) for kind in wanted)
    searched = await asyncio.gather(*(_search(ehr, kind, patient_id) for kind in kinds))
    records = [record for found, _ in searched for record in found]
    unread = tuple(kind for kind, (_, complete) in zip(kinds, searched, strict=True) if not complete)
    held = {(record["resourceType"], record.get("id")) for record in records}
    referred = dict.fromkeys(
        reference
        for record in (*records, matter.order)
        if isinstance(reference := (record.get("medicationReference") or {}).get("reference"), str)
    )
    medications = await asyncio.gather(*(read_at(ehr, reference) for reference in list(referred)[:_MOST_REFERENCES]))
    records += [m for m in medications if m is not None and (m["resourceType"], m.get("id")) not in held]
    return ChartRead((matter.patient, *records), unread)


async def read_parties(ehr: EhrClient, matter: Matter) -> Parties:
    """Who ordered, for whom they work, and who insures."""
    requester = await read_at(ehr, (matter.order.get("requester") or {}).get("reference"))
    role = requester if requester and requester["resourceType"] == "PractitionerRole" else None
    practitioner = requester if requester and requester["resourceType"] == "Practitioner" else None
    if role is not None:
        practitioner = await read_at(ehr, (role.get("practitioner") or {}).get("reference"))
    elif practitioner is not None:
        found, _ = await _find(ehr, "PractitionerRole", ("practitioner", f"Practitioner/{practitioner['id']}"))
        role = found[0] if found else None
    organization = requester if requester and requester["resourceType"] == "Organization" else None
    if organization is None and role is not None:
        organization = await read_at(ehr, (role.get("organization") or {}).get("reference"))
    payor: Mapping[str, Any] = (matter.coverage.get("payor") or [{}])[0]
    return Parties(practitioner, role, organization, await read_at(ehr, payor.get("reference")))


def is_about(ehr: EhrClient, record: Resource, patient_id: str) -> bool:
    """Whether a record's subject is surely this patient of this server."""
    subject = record.get("subject") or record.get("patient") or record.get("beneficiary") or {}
    return ehr.named(str(subject.get("reference", ""))) == ("Patient", patient_id)


async def _coverage(ehr: EhrClient, patient_id: str, order: Resource, said: str | None) -> Resource:
    """The coverage of the launch, else the order's own, else the patient's only active one."""
    named = [said, *((each or {}).get("reference") for each in order.get("insurance") or ())]
    for reference in named:
        coverage = await read_at(ehr, reference)
        if coverage is not None and is_about(ehr, coverage, patient_id):
            return coverage
    found, _ = await _find(ehr, "Coverage", ("patient", patient_id), ("status", "active"))
    own = [each for each in found if is_about(ehr, each, patient_id)]
    if len(own) != 1:
        raise MissingElement("The EHR does not say which coverage the order is for. Add it to the order.")
    return own[0]


async def _search(ehr: EhrClient, kind: str, patient_id: str) -> tuple[Sequence[Resource], bool]:
    return await _find(ehr, kind, ("patient", patient_id))


async def _find(ehr: EhrClient, kind: str, *parameters: tuple[str, str]) -> tuple[Sequence[Resource], bool]:
    try:
        found = await ehr.search(kind, *parameters)
    except EhrUnavailable:
        return (), False
    return found.resources, found.complete
