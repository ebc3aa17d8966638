"""One patient's records, ready for CQL: foreign subjects out, Medications and references where retrieves find them.

The engine's data source filters nothing by subject and follows only "Medication/id" references, so what it must not
count is taken out here, and what it would silently miss is rewritten (spec/cql.md section 10).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import InvalidResource
from service.ports import Resource

_TYPE: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_SERVER: Final = re.compile(r"(https?://.+/)[A-Z][A-Za-z]{1,63}/[A-Za-z0-9\-.]{1,64}")
_HISTORY: Final = re.compile(r"/_history/[^/]+$")
_SUBJECTS: Final = ("subject", "patient", "beneficiary", "for")
# Types that belong to no patient. Anything else without a subject might be anybody's.
_WITHOUT_SUBJECT: Final = frozenset(
    {
        "Endpoint",
        "HealthcareService",
        "InsurancePlan",
        "Location",
        "Medication",
        "MedicationKnowledge",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "Substance",
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """A resource and, where it came in a Bundle, its fullUrl."""

    resource: Resource
    full_url: str | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """A record that CQL does not see: "Condition/x" (or its place in the input), and why."""

    reference: str
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """What CQL sees, the Patient first, and what was left out."""

    records: tuple[Resource, ...]
    dropped: tuple[Dropped, ...]


def prepare(records: Iterable[Resource | Record], patient_id: str) -> Prepared:
    """Keeps what is about the patient; received resources are copied where they change, never altered.

    `patient_id` is the Patient's id, or the UUID of its urn:uuid fullUrl when it has none. Raises InvalidResource
    unless there is exactly one such Patient.
    """
    known, dropped = _known(records)
    patient = _the_patient(known, patient_id)
    names = _names_of(patient)

    kept = [patient]
    for record in known:
        reason = None if record is patient else _reason_to_drop(record.resource, names, patient.resource)
        if reason is not None:
            dropped.append(Dropped(_reference(record.resource), reason))
        elif record is not patient:
            kept.append(record)
    return Prepared(_resolved(kept), tuple(dropped))


def _identified(record: Record) -> Record | None:
    """The record with an id, taken from its fullUrl where it has none; None if it is no resource."""
    resource = record.resource
    if not isinstance(resource, Mapping) or not isinstance(resource.get("resourceType"), str):
        return None
    if not _TYPE.fullmatch(resource["resourceType"]) or not isinstance(resource.get("id", ""), str):
        return None
    url = _HISTORY.sub("", record.full_url) if isinstance(record.full_url, str) else None
    if "id" not in resource and url is not None:
        resource = {**resource, "id": url.rpartition(":" if url.startswith("urn:") else "/")[2]}
    return Record(resource, url)


def _known(records: Iterable[Resource | Record]) -> tuple[list[Record], list[Dropped]]:
    """Each resource once, and what is no resource. An id may come twice when the content differs."""
    known: list[Record] = []
    dropped: list[Dropped] = []
    by_reference: dict[str, list[Resource]] = {}
    for place, given in enumerate(records):
        record = _identified(given if isinstance(given, Record) else Record(given))
        if record is None:
            dropped.append(Dropped(f"record {place + 1}", "it is not a FHIR resource"))
            continue
        same = by_reference.setdefault(_reference(record.resource), [])
        if "id" not in record.resource or record.resource not in same:
            same.append(record.resource)
            known.append(record)
    return known, dropped


def _the_patient(records: list[Record], patient_id: str) -> Record:
    found = [
        record
        for record in records
        if record.resource["resourceType"] == "Patient" and record.resource.get("id") == patient_id
    ]
    if len(found) != 1:
        many = "no" if not found else "more than one"
        raise InvalidResource(
            f"The records hold {many} Patient of the id that they are about; send exactly one.",
            expression=("Patient",),
        )
    return found[0]


def _names_of(patient: Record) -> frozenset[str]:
    """Every reference text that means this Patient."""
    relative = _reference(patient.resource)
    return frozenset({relative} | ({patient.full_url} if patient.full_url else set()))


def _reason_to_drop(resource: Resource, names: frozenset[str], patient: Resource) -> str | None:
    kind = resource["resourceType"]
    if kind == "Patient":
        return "it is another Patient"
    subjects = [resource[name] for name in _SUBJECTS if name in resource]
    if not subjects:
        return None if kind in _WITHOUT_SUBJECT else "it does not say whom it is about"
    if all(_means(subject, names, patient) for subject in subjects):
        return None
    return "it is about somebody else"


def _means(subject: Any, names: frozenset[str], patient: Resource) -> bool:
    """Whether a Reference means the Patient: by reference, or, where it has none, by a shared identifier."""
    if not isinstance(subject, Mapping):
        return False
    reference = subject.get("reference")
    if isinstance(reference, str):
        target = _HISTORY.sub("", reference)
        absolute = any("://" in name for name in names)
        # Without the Patient's own address, an absolute one can only be compared by its end.
        return target in names or (not absolute and any(target.endswith(f"/{name}") for name in names))
    wanted = _identity(subject.get("identifier"))
    carried = patient.get("identifier")
    return wanted is not None and isinstance(carried, list) and wanted in [_identity(one) for one in carried]


def _identity(identifier: Any) -> tuple[str, str] | None:
    if not isinstance(identifier, Mapping):
        return None
    system, value = identifier.get("system"), identifier.get("value")
    return (system, value) if isinstance(system, str) and isinstance(value, str) else None


def _resolved(records: list[Record]) -> tuple[Resource, ...]:
    """Hoists contained Medications and rewrites references so that "Type/id" finds what they mean."""
    targets: dict[str, str] = {}
    taken: set[str] = set()
    whole: list[Record] = []
    for record in records:
        resource = _with_own_id(record.resource, taken)
        taken.add(_reference(resource))
        whole.append(Record(resource, record.full_url))
        if record.full_url is not None:
            targets[record.full_url] = _reference(resource)
    renamed = {url: new for url, new in targets.items() if "://" in url and not url.endswith(f"/{new}")}
    resolved: list[Resource] = []
    for record in whole:
        medications = _contained_medications(record.resource, taken)
        local = {f"#{local_id}": _reference(medication) for local_id, medication in medications.items()}
        here = targets | local | _relative_to(record.full_url, renamed)
        resolved.append(_rewritten(record.resource, here))
        resolved.extend(_rewritten(medication, here) for medication in medications.values())
    return tuple(resolved)


def _relative_to(full_url: str | None, renamed: Mapping[str, str]) -> dict[str, str]:
    """What "Type/id" means in a record of the same server as a target that had to be renamed."""
    base = _SERVER.fullmatch(full_url or "")
    if base is None:
        return {}
    return {url.removeprefix(base[1]): new for url, new in renamed.items() if url.startswith(base[1])}


def _with_own_id(resource: Resource, taken: set[str]) -> Resource:
    """Two servers may use one id for two Medications, and only the id joins a Medication to its use."""
    if resource["resourceType"] != "Medication" or _reference(resource) not in taken:
        return resource
    return {**resource, "id": _free_id(resource["id"], taken)}


def _contained_medications(resource: Resource, taken: set[str]) -> dict[str, Resource]:
    """Contained Medications by local id, each with an id of its own outside."""
    contained = resource.get("contained")
    found: dict[str, Resource] = {}
    for item in contained if isinstance(contained, list) else []:
        if isinstance(item, Mapping) and item.get("resourceType") == "Medication" and isinstance(item.get("id"), str):
            container = f"{resource['resourceType']}-{resource.get('id', '')}-{item['id']}"
            hoisted = {**item, "id": _free_id(container, taken)}
            taken.add(_reference(hoisted))
            found[item["id"]] = hoisted
    return found


def _free_id(wanted: str, taken: set[str]) -> str:
    number, free = 1, wanted
    while f"Medication/{free}" in taken:
        number += 1
        free = f"{wanted}-{number}"
    return free


def _rewritten(value: Any, targets: Mapping[str, str]) -> Any:
    """The same value with every known reference as "Type/id"; what does not change is not copied."""
    if isinstance(value, list):
        elements = [_rewritten(element, targets) for element in value]
        return elements if any(a is not b for a, b in zip(elements, value, strict=True)) else value
    if not isinstance(value, Mapping):
        return value
    parts = {name: _rewritten(part, targets) for name, part in value.items()}
    reference = parts.get("reference")
    if isinstance(reference, str):
        unversioned = _HISTORY.sub("", reference)
        parts["reference"] = targets.get(unversioned, unversioned)
    return parts if any(parts[name] is not part for name, part in value.items()) else value


def _reference(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource.get('id', '')}"
