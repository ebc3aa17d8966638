"""The orders of a call: which are in scope, what each one names, and when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from service.crd.extension import CrdVersion
from service.crd.hooks import HookCall
from service.crd.prefetch import Records, structural_faults
from service.crd.reading import concept_with_billing, last_steps, object_at, objects_at, text_at, texts_at
from service.errors import Fault, InvalidResource
from service.fhir.build import Json
from service.fhir.parse import StructureCheck
from service.form.naming import named
from service.policy.dates import PartialDate
from service.policy.match import Named

_EVERY: Final = frozenset(
    {"MedicationRequest", "ServiceRequest", "DeviceRequest", "NutritionOrder", "CommunicationRequest"}
)
# Where coverage-information may stand (contexts of ext-coverage-information; Encounter is no order).
_IN_SCOPE: Final[Mapping[CrdVersion, frozenset[str]]] = {
    CrdVersion.STU2: _EVERY,
    CrdVersion.STU22: _EVERY | {"VisionPrescription"},
}
# Only these can be for a drug. What the others order never falls under a drug policy.
_FOR_DRUGS: Final = frozenset({"MedicationRequest", "ServiceRequest"})


@dataclass(frozen=True, slots=True)
class Order:
    """One order as received. `start` is the requested start, `doubt` why it may not be this patient's."""

    reference: str
    resource: Json
    named: Named
    start: date
    doubt: str | None

    @property
    def may_be_drug(self) -> bool:
        return self.resource["resourceType"] in _FOR_DRUGS

    @property
    def unnamed(self) -> bool:
        """Nothing says what is ordered."""
        return not self.named.codes and not self.named.names


def read_orders(call: HookCall, records: Records, check: StructureCheck, today: date) -> tuple[Order, ...]:
    """The orders to answer for, in the Bundle's order: all drafts, or on order-select the selected ones.

    InvalidResource with every fault of those orders. Resources that are no orders (a Medication that one refers
    to) and selections that name no draft are passed over.
    """
    orders: list[Order] = []
    faults: list[Fault] = []
    wanted = None if call.selections is None else {last_steps(text) for text in call.selections}
    for index, resource in enumerate(_drafts(call.draft_orders)):
        kind, logical_id = text_at(resource, "resourceType"), text_at(resource, "id")
        if kind not in _IN_SCOPE[call.version] or not _selected(f"{kind}/{logical_id}", wanted):
            continue
        found = _faults(resource, f"context.draftOrders.entry[{index}].resource", check)
        if not found and any(order.reference == f"{kind}/{logical_id}" for order in orders):
            found = [
                Fault(f"context.draftOrders.entry[{index}].resource.id", "is that of an earlier order", "duplicate")
            ]
        faults += found
        if not found:
            orders.append(_order(resource, call, records, today))
    if faults:
        text = "The draft orders break FHIR R4."
        raise InvalidResource(text, faults=tuple(faults), expression=tuple(fault.expression for fault in faults))
    return tuple(orders)


def _drafts(bundle: Json) -> list[Json]:
    """The resources of the Bundle, one per entry; InvalidResource for entries that are none."""
    entries = bundle.get("entry", [])
    place = "context.draftOrders.entry"
    if not isinstance(entries, list):
        raise InvalidResource(f"{place} must be a JSON list.", expression=(place,))
    resources = [object_at(entry, "resource") if isinstance(entry, dict) else {} for entry in entries]
    faults = tuple(
        Fault(f"{place}[{index}].resource", "must be a resource with a resourceType")
        for index, resource in enumerate(resources)
        if text_at(resource, "resourceType") is None
    )
    if faults:
        raise InvalidResource("The draft orders hold what is no resource.", faults=faults)
    return resources


def _selected(reference: str, wanted: set[str] | None) -> bool:
    return wanted is None or reference in wanted or reference.partition("/")[2] in wanted


def _faults(resource: Json, place: str, check: StructureCheck) -> list[Fault]:
    kind = str(resource["resourceType"])
    found = structural_faults(check, resource)
    faults = [replace(fault, expression=place + fault.expression.removeprefix(kind)) for fault in found]
    if text_at(resource, "id") is None:
        # CRD 2.2.1 found-36: an answer can only be given to an order that has an id.
        faults.append(Fault(f"{place}.id", "is missing", "required"))
    return faults


def _order(resource: Json, call: HookCall, records: Records, today: date) -> Order:
    subject = text_at(object_at(resource, "subject"), "reference")
    # A subject that cannot be told apart from the patient (urn:uuid, contained) is no doubt.
    patient = f"Patient/{call.patient_id}"
    foreign = subject is not None and last_steps(subject).startswith("Patient/") and last_steps(subject) != patient
    return Order(
        reference=f"{resource['resourceType']}/{resource['id']}",
        resource=resource,
        named=named_of(resource, records),
        start=requested_start(resource, today),
        doubt="The order names another patient than the request." if foreign else None,
    )


def named_of(order: Json, records: Records) -> Named:
    """How an order names what is ordered, with billing options and the Medication that it refers to."""
    if order.get("resourceType") not in _FOR_DRUGS:
        return Named(frozenset(), ())
    concepts = [*concept_with_billing(object_at(order, "medicationCodeableConcept"))]
    concepts += concept_with_billing(object_at(order, "code"))
    reference = object_at(order, "medicationReference")
    medication = records.resolve(reference, within=order) if reference else None
    if medication is not None and medication.get("resourceType") == "Medication":
        concepts += concept_with_billing(object_at(medication, "code"))
    display = text_at(reference, "display")
    return named(concepts, [display] if display else [])


def requested_start(order: Json, today: date) -> date:
    """The earliest day for which the order asks; partial dates count from their first day.

    Without one, the day of writing. That is not a day of treatment: what is signed today starts today at the
    soonest, however long ago the order was drafted.
    """
    asked = [day.earliest() for text in _asked(order) if (day := PartialDate.parse(text))]
    if asked:
        return min(asked)
    written = PartialDate.parse(text_at(order, "authoredOn") or "")
    return max(written.earliest(), today) if written else today


def _asked(order: Json) -> Iterator[str]:
    timings = [object_at(instruction, "timing") for instruction in objects_at(order, "dosageInstruction")]
    timings.append(object_at(order, "occurrenceTiming"))
    for timing in timings:
        yield from texts_at(timing, "event")
        yield from _start(object_at(timing, "repeat", "boundsPeriod"))
    yield from _start(object_at(order, "dispenseRequest", "validityPeriod"))
    yield from _start(object_at(order, "occurrencePeriod"))
    occurrence = text_at(order, "occurrenceDateTime")
    if occurrence:
        yield occurrence


def _start(period: Json) -> Iterator[str]:
    start = text_at(period, "start")
    if start:
        yield start
