"""The orders of a call: which are in scope, what each one names, and when it starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from service.crd.hooks import HookCall
from service.crd.prefetch import Records, structural_faults
from service.crd.reading import concept_with_billing, last_steps, object_at, objects_at, text_at, texts_at
from service.crd.scope import APPOINTMENT, Concerned, concerned
from service.errors import BusinessRule, Fault, InvalidResource
from service.fhir.build import Json
from service.fhir.parse import StructureCheck
from service.form.naming import named
from service.policy.dates import PartialDate
from service.policy.match import Named

# Only these can be for a drug. What the others order never falls under a drug policy.
_FOR_DRUGS: Final = frozenset({"MedicationRequest", "ServiceRequest", APPOINTMENT})


@dataclass(frozen=True, slots=True)
class Order:
    """One order as received. `start` is the requested start, `doubt` why it may not be this patient's.

    `reference` is "Type/id", or the type alone of an order without an id.
    """

    reference: str
    resource: Json
    named: Named
    start: date
    doubt: str | None

    @property
    def has_id(self) -> bool:
        return text_at(self.resource, "id") is not None

    @property
    def may_be_drug(self) -> bool:
        return self.resource["resourceType"] in _FOR_DRUGS

    @property
    def unnamed(self) -> bool:
        """Nothing says what is ordered."""
        return not self.named.codes and not self.named.names


def read_orders(call: HookCall, records: Records, check: StructureCheck, today: date) -> tuple[Order, ...]:
    """The orders to answer for, in the order in which they came.

    InvalidResource (400) with every fault of those orders against FHIR; BusinessRule (422) where FHIR is content, and
    no answer could say which order it is for. Resources that are no orders (a Medication that one refers to) and
    selections that name no draft are passed over.
    """
    orders: list[Order] = []
    faults: list[Fault] = []
    unnamed: list[Fault] = []
    for each in concerned(call, records):
        found, without = _faults(each.resource, each.place, check), _nameless(each, orders)
        if (found or without) and call.about_encounter:
            # Nobody asked about this order: one that cannot be read is no reason to refuse the call.
            continue
        faults += found
        unnamed += without
        if not found and not without:
            orders.append(order_of(each, call, records, today))
    if faults:
        raise InvalidResource("The orders break FHIR R4.", faults=(*faults, *unnamed), expression=_places(faults))
    if unnamed:
        text = "Of several orders of one type, each needs an id of its own: an answer could not say which it is for."
        raise BusinessRule(text, faults=tuple(unnamed), expression=_places(unnamed))
    return tuple(orders)


def _places(faults: Sequence[Fault]) -> tuple[str, ...]:
    return tuple(fault.expression for fault in faults)


def _faults(resource: Json, place: str, check: StructureCheck) -> list[Fault]:
    kind = str(resource["resourceType"])
    found = [fault for fault in structural_faults(check, resource) if not _says_nothing_ordered(fault)]
    return [replace(fault, expression=place + fault.expression.removeprefix(kind)) for fault in found]


def _nameless(each: Concerned, earlier: Sequence[Order]) -> list[Fault]:
    """What keeps an answer from naming its order.

    FHIR asks for no id, CRD does (2.2.1 found-36); but clients book appointments that they have not stored yet, and
    the only order of its type is known without one.
    """
    if all(order.reference != _reference(each.resource) for order in earlier):
        return []
    if text_at(each.resource, "id") is None:
        return [Fault(f"{each.place}.id", "is missing, as it is from an earlier order", "required")]
    return [Fault(f"{each.place}.id", "is that of an earlier order", "duplicate")]


def _reference(resource: Json) -> str:
    logical_id = text_at(resource, "id")
    return f"{resource['resourceType']}/{logical_id}" if logical_id else str(resource["resourceType"])


def _says_nothing_ordered(fault: Fault) -> bool:
    """A MedicationRequest without medication[x], as clients send it while it is written, is an open question."""
    absent = fault.code == "required" or fault.problem.startswith("is empty")
    return absent and fault.expression == "MedicationRequest.medication"


def order_of(each: Concerned, call: HookCall, records: Records, today: date) -> Order:
    """The order, of a resource with its type."""
    resource = each.resource
    return Order(
        reference=_reference(resource),
        resource=resource,
        named=named_of(resource, records),
        start=requested_start(each.appointment or resource, today),
        doubt="The order names another patient than the request." if _is_foreign(resource, call) else None,
    )


def _is_foreign(resource: Json, call: HookCall) -> bool:
    """A subject that cannot be told apart from the patient (urn:uuid, contained) is no doubt."""
    subjects = [object_at(resource, "subject"), object_at(resource, "patient")]
    subjects += [object_at(participant, "actor") for participant in objects_at(resource, "participant")]
    named = [last_steps(text) for subject in subjects if (text := text_at(subject, "reference"))]
    patients = [name for name in named if name.startswith("Patient/")]
    return bool(patients) and f"Patient/{call.patient_id}" not in patients


def named_of(order: Json, records: Records) -> Named:
    """How an order names what is ordered, with billing options and the Medication that it refers to.

    An appointment without its order says at most what kind of service it is.
    """
    if order.get("resourceType") not in _FOR_DRUGS:
        return Named(frozenset(), ())
    concepts = [*concept_with_billing(object_at(order, "medicationCodeableConcept"))]
    concepts += concept_with_billing(object_at(order, "code"))
    for service in objects_at(order, "serviceType"):
        concepts += concept_with_billing(service)
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
    # `start` is an Appointment's own.
    for name in ("occurrenceDateTime", "start"):
        moment = text_at(order, name)
        if moment:
            yield moment


def _start(period: Json) -> Iterator[str]:
    start = text_at(period, "start")
    if start:
        yield start
