"""What an order says: the drug or service it names, for whom, from when, and how the client refers to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from service.fhir.canonical import CRD_BILLING_OPTIONS
from service.form.naming import named
from service.policy.dates import PartialDate
from service.policy.match import Named
from service.ports import Resource

# The orders of dtr-qpackage-input-parameters (2.0.1 and 2.2.0), with the elements that name what is ordered.
_NAMING: Final[Mapping[str, tuple[str, ...]]] = {
    "Appointment": ("serviceType",),
    "CommunicationRequest": (),
    "DeviceRequest": ("codeCodeableConcept",),
    "Encounter": ("type",),
    "ImmunizationRecommendation": (),
    "MedicationRequest": ("medicationCodeableConcept",),
    "NutritionOrder": (),
    "ServiceRequest": ("code",),
    "SupplyRequest": ("itemCodeableConcept",),
    "VisionPrescription": (),
}


@dataclass(frozen=True, slots=True)
class Ordered:
    """How an order names what it asks for. `unread`: it refers to a Medication that was not sent."""

    named: Named
    unread: bool


def is_order(resource: Resource) -> bool:
    """Whether the operation takes this type as an order."""
    return resource.get("resourceType") in _NAMING


def ordered(order: Resource, referenced: Iterable[Resource]) -> Ordered:
    """What an order of a type that the operation takes asks for."""
    concepts = [c for name in _NAMING[order["resourceType"]] for c in _with_billing(order.get(name))]
    words: list[str] = []
    unread = False
    reference = order.get("medicationReference")
    if isinstance(reference, Mapping):
        medication = _medication(str(reference.get("reference", "")), order, referenced)
        concepts += _with_billing(medication.get("code")) if medication else []
        words += [reference["display"]] if isinstance(reference.get("display"), str) else []
        unread = medication is None
    return Ordered(named(concepts, words), unread)


def subject_of(order: Resource) -> Mapping[str, Any] | None:
    """The Reference to the order's patient, if it gives one."""
    subject = order.get("subject") or order.get("patient") or order.get("for")
    if subject is None:
        actors = (p.get("actor") for p in order.get("participant") or () if isinstance(p, Mapping))
        subject = next((a for a in actors if a and "Patient/" in str(a.get("reference", ""))), None)
    return subject if isinstance(subject, Mapping) else None


def requested_start(order: Resource, today: date) -> date:
    """The earliest day from which the order asks for its service; without one the day of writing, today at the least.

    The same rule as at the hook, so that a form asked for by order is the one that CRD named.
    """
    days = [day.earliest() for text in _starts(order) if (day := PartialDate.parse(text))]
    if days:
        return min(days)
    written = PartialDate.parse(str(order.get("authoredOn", "")))
    return max(written.earliest(), today) if written else today


def reference_to(resource: Resource) -> dict[str, Any] | None:
    """A Reference as the client's own server understands it; None for a resource without id."""
    logical_id = resource.get("id")
    return {"reference": f"{resource['resourceType']}/{logical_id}"} if logical_id else None


def _starts(order: Resource) -> Iterator[str]:
    timings = [order.get("occurrenceTiming"), *(d.get("timing") for d in order.get("dosageInstruction") or ())]
    periods = [order.get("occurrencePeriod"), order.get("period")]
    periods.append((order.get("dispenseRequest") or {}).get("validityPeriod"))
    for timing in timings:
        # A list may hold null where an event has only extensions.
        yield from (event for event in (timing or {}).get("event") or () if isinstance(event, str))
        periods.append(((timing or {}).get("repeat") or {}).get("boundsPeriod"))
    yield from (period["start"] for period in periods if period and "start" in period)
    yield from (order[name] for name in ("occurrenceDateTime", "start") if isinstance(order.get(name), str))


def _medication(reference: str, order: Resource, referenced: Iterable[Resource]) -> Resource | None:
    """The Medication behind a reference: contained in the order, or sent beside it."""
    if reference.startswith("#"):
        candidates, wanted = order.get("contained") or (), reference[1:]
    else:
        candidates, wanted = referenced, reference.rpartition("/")[2].rpartition(":")[2]
    found = [r for r in candidates if r.get("resourceType") == "Medication" and wanted and r.get("id") == wanted]
    return found[0] if len(found) == 1 else None


def _with_billing(value: Any) -> Iterator[Mapping[str, Any]]:
    """CodeableConcepts, and the billing codes that the client puts beside them (CRD 2.2.1 billopt-3)."""
    for concept in _listed(value):
        yield concept
        for extension in concept.get("extension") or ():
            if extension.get("url") == CRD_BILLING_OPTIONS and "valueCodeableConcept" in extension:
                yield extension["valueCodeableConcept"]


def _listed(value: Any) -> list[Mapping[str, Any]]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if isinstance(item, Mapping)]
