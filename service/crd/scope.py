"""What a call is about: the resources that an answer is written on, from the context or from what came with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from service.crd.discovery import ORDER_KEYS
from service.crd.extension import CrdVersion
from service.crd.hooks import HookCall
from service.crd.prefetch import Records
from service.crd.reading import last_steps, object_at, objects_at, text_at
from service.errors import Fault, InvalidResource, PrefetchMissing
from service.fhir.build import Json

# Appointment.basedOn names only ServiceRequests in R4; others are named beside it (CRD 2.2.1, appointment profiles).
_ALTERNATE: Final = "http://hl7.org/fhir/StructureDefinition/alternate-reference"
APPOINTMENT: Final = "Appointment"
_NEWER: Final = frozenset(ORDER_KEYS)
# Where coverage-information may stand (contexts of ext-coverage-information; Encounter is no order). 2.0.1 does not
# list Appointment, and its clients wait for the answer there all the same.
_IN_SCOPE: Final[Mapping[CrdVersion, frozenset[str]]] = {
    CrdVersion.STU2: (_NEWER | {APPOINTMENT}) - {"VisionPrescription"},
    CrdVersion.STU22: _NEWER | {APPOINTMENT},
}


@dataclass(frozen=True, slots=True)
class Concerned:
    """One resource to answer for; `place` is the FHIRPath that a fault in it is reported at.

    `appointment` is the one that books the order, where the hook is about one.
    """

    resource: Json
    place: str
    appointment: Json | None = None


def concerned(call: HookCall, records: Records) -> tuple[Concerned, ...]:
    """Everything that the call is about and coverage-information may stand on, in the order in which it came.

    InvalidResource for Bundle entries that are no resource; PrefetchMissing when no dispatched order came and none
    was asked for.
    """
    if call.hook == "order-dispatch":
        found = _dispatched(call, _sent(call, records))
    elif call.hook == "appointment-book":
        found = _appointments(call, _sent(call, records))
    elif call.about_encounter:
        orders = _sent(call, records).values()
        found = [Concerned(order, "prefetch") for order in orders if order.get("status") == "active"]
    else:
        found = _drafts(call)
    scope = _IN_SCOPE[call.version]
    return tuple(each for each in found if text_at(each.resource, "resourceType") in scope)


def _drafts(call: HookCall) -> list[Concerned]:
    wanted = None if call.selections is None else {last_steps(text) for text in call.selections}
    return [
        each
        for each in _entries(call.draft_orders, "context.draftOrders")
        if wanted is None or not wanted.isdisjoint({_reference(each.resource), str(each.resource.get("id"))})
    ]


def _dispatched(call: HookCall, sent: Mapping[str, Json]) -> list[Concerned]:
    wanted = [last_steps(reference) for reference in call.dispatched]
    found = [Concerned(sent[name], "prefetch") for name in wanted if name in sent]
    if not found:
        keys = {ORDER_KEYS.get(name.partition("/")[0]) for name in wanted} - {None}
        missing = sorted(f"prefetch.{key}" for key in keys if key and not _told(call, key))
        if missing:
            text = f"No dispatched order came with the request. Send it as {' or '.join(missing)}."
            raise PrefetchMissing(text, expression=tuple(missing))
    return found


def _told(call: HookCall, key: str) -> bool:
    """The client sent something under the key, if only that there is nothing (null); a failure tells nothing."""
    value = call.prefetch.get(key)
    failed = isinstance(value, dict) and value.get("resourceType") == "OperationOutcome"
    return key in call.prefetch and not failed


def _appointments(call: HookCall, sent: Mapping[str, Json]) -> list[Concerned]:
    """The orders that appointments are for; the appointment itself where its order did not come, or it has none."""
    found: list[Concerned] = []
    for each in _entries(call.appointments, "context.appointments"):
        if each.resource["resourceType"] != APPOINTMENT:
            continue
        names = [last_steps(reference) for reference in _based_on(each.resource)]
        orders = [sent[name] for name in names if name in sent]
        found += [Concerned(order, "prefetch", each.resource) for order in orders] or [each]
    once: dict[str, Concerned] = {}
    for each in found:
        # One order may be booked in several appointments, and gets one answer: for the first of them.
        name = _reference(each.resource) if each.appointment else each.place
        once[name] = min(once.get(name, each), each, key=_booked_start)
    return list(once.values())


def _booked_start(each: Concerned) -> str:
    return text_at(each.appointment or {}, "start") or "9999"


def _based_on(appointment: Json) -> Iterator[str]:
    for reference in objects_at(appointment, "basedOn"):
        others = [e for e in objects_at(reference, "extension") if e.get("url") == _ALTERNATE]
        for each in (reference, *(object_at(other, "valueReference") for other in others)):
            named = text_at(each, "reference")
            if named:
                yield named


def _sent(call: HookCall, records: Records) -> dict[str, Json]:
    """The orders that came with the call, under any key, or were read for it: "Type/id" -> the first of that name."""
    orders: dict[str, Json] = {}
    for value in call.prefetch.values():
        if not isinstance(value, dict):
            continue
        bundled = [object_at(entry, "resource") for entry in objects_at(value, "entry")]
        for resource in bundled if value.get("resourceType") == "Bundle" else [value]:
            if text_at(resource, "resourceType") in ORDER_KEYS:
                orders.setdefault(_reference(resource), resource)
    for kind in ORDER_KEYS:
        for resource in records.all(kind):
            orders.setdefault(_reference(resource), resource)
    return orders


def _entries(bundle: Json, place: str) -> list[Concerned]:
    """The Bundle's resources, one per entry; InvalidResource for entries that are none."""
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise InvalidResource(f"{place}.entry must be a JSON list.", expression=(f"{place}.entry",))
    resources = [object_at(entry, "resource") if isinstance(entry, dict) else {} for entry in entries]
    faults = tuple(
        Fault(f"{place}.entry[{index}].resource", "must be a resource with a resourceType")
        for index, resource in enumerate(resources)
        if text_at(resource, "resourceType") is None
    )
    if faults:
        raise InvalidResource(f"{place} holds what is no resource.", faults=faults)
    return [Concerned(each, f"{place}.entry[{index}].resource") for index, each in enumerate(resources)]


def _reference(resource: Json) -> str:
    return f"{resource.get('resourceType')}/{resource.get('id')}"
