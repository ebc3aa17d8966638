"""Claim.item lines with everything they point to, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from service.determine.request import Order, RequestLine, Serviced
from service.fhir.bundle import Entries
from service.fhir.canonical import PAS_REQUESTED_SERVICE
from service.form.naming import code_of, named
from service.pas.certification import removed
from service.pas.elements import Json, extensions, listed, numbers, object_of, text_of
from service.pas.intake import CLAIM, Received, check_sequences, invalid, missing
from service.pas.parties import Parties
from service.policy.dates import PartialDate
from service.ports import Resource

R = TypeVar("R", bound=Resource)

# Where each order type says what is ordered (R4).
_ORDERED = ("medicationCodeableConcept", "code", "codeCodeableConcept")


@dataclass(frozen=True, slots=True)
class _Support:
    """What the Claim points to as evidence, by sequence; None where an entry points to no resource."""

    diagnoses: dict[int, tuple[Json, Json | None]]
    documents: dict[int, Json | None]


def lines_of(received: Received, parties: Parties) -> tuple[RequestLine, ...]:
    """The lines in the Claim's order. 400s: no item, bad sequences, evidence that is referred to and not sent.

    A Claim that changes another one may have no item: the cancellation of the whole (pas.md trap 13).
    """
    items = listed(received.claim, "item")
    if not items and not listed(received.claim, "related"):
        raise missing(f"{CLAIM}.item")
    check_sequences(received.claim, "item")
    support = _Support(_diagnoses(received), _documents(received))
    _check_pointers(received.claim, items)
    places = (f"{CLAIM}.item[{index}]" for index in range(len(items)))
    return tuple(_line(received, parties, support, place) for place in zip(items, places, strict=True))


def _diagnoses(received: Received) -> dict[int, tuple[Json, Json | None]]:
    """Sequence -> the diagnosis with a code, and the Condition that it was read from.

    A diagnosisReference that leads nowhere is a 400 (pas.md 1.7): it might name the very diagnosis that
    contradicts an answer, so it cannot be passed over.
    """
    check_sequences(received.claim, "diagnosis")
    found: dict[int, tuple[Json, Json | None]] = {}
    for index, diagnosis in enumerate(listed(received.claim, "diagnosis")):
        reference = object_of(diagnosis, "diagnosisReference")
        if reference is None:
            found[diagnosis["sequence"]] = (diagnosis, None)
            continue
        condition = received.evidence(reference, f"{CLAIM}.diagnosis[{index}].diagnosisReference")
        resolved = {**diagnosis, "diagnosisCodeableConcept": object_of(condition, "code") or {}}
        found[diagnosis["sequence"]] = (resolved, condition)
    return found


def _documents(received: Received) -> dict[int, Json | None]:
    """Sequence -> what supportingInfo.valueReference leads to.

    A Claim without supportingInfo is no error: what it would have shown is missing evidence and pends (trap 14).
    A reference that leads nowhere is a 400 (pas.md 1.7, "dangling references"): nobody can tell what the unread
    document says, and the sender can repair it at once. What is marked as removed (infoCancelled, spec-69) shows
    nothing any more, wherever it leads.
    """
    check_sequences(received.claim, "supportingInfo")
    found: dict[int, Json | None] = {}
    for index, supporting in enumerate(listed(received.claim, "supportingInfo")):
        reference = None if removed(supporting) else object_of(supporting, "valueReference")
        expression = f"{CLAIM}.supportingInfo[{index}].valueReference"
        found[supporting["sequence"]] = None if reference is None else received.evidence(reference, expression)
    return found


def _check_pointers(claim: Json, items: list[Json]) -> None:
    known = {
        "diagnosisSequence": {diagnosis["sequence"] for diagnosis in listed(claim, "diagnosis")},
        "informationSequence": {supporting["sequence"] for supporting in listed(claim, "supportingInfo")},
        "careTeamSequence": check_sequences(claim, "careTeam"),
        "procedureSequence": check_sequences(claim, "procedure"),
    }
    for index, item in enumerate(items):
        for name, sequences in known.items():
            if not set(numbers(item, name)) <= sequences:
                raise invalid(f"{CLAIM}.item[{index}].{name}", "points to a sequence that the Claim does not have")


def _line(received: Received, parties: Parties, support: _Support, place: tuple[Json, str]) -> RequestLine:
    """`place` is the item and its FHIRPath."""
    item, path = place
    concept = object_of(item, "productOrService")
    if concept is None:
        raise missing(f"{path}.productOrService")
    pointed = numbers(item, "diagnosisSequence") or tuple(support.diagnoses)
    diagnoses = [support.diagnoses[sequence] for sequence in pointed]
    informed = numbers(item, "informationSequence") or tuple(support.documents)
    documents = [support.documents[sequence] for sequence in informed]
    responses, holders = _responses(received.entries, documents)
    orders, medications = _orders(received, item)
    code, system = code_of(concept)
    evidence: list[Resource | None] = [received.claim, parties.patient, parties.coverage]
    evidence += [condition for _, condition in diagnoses]
    evidence += [*holders, *responses, *(order.resource for order in orders), *medications]
    return RequestLine(
        sequence=item["sequence"],
        path=path,
        item=item,
        named=named([concept]),
        code=code,
        code_system=system,
        serviced=_serviced(item, path),
        diagnoses=tuple(diagnosis for diagnosis, _ in diagnoses),
        responses=tuple(responses),
        orders=tuple(orders),
        evidence=tuple(_once(evidence)),
    )


def _serviced(item: Json, path: str) -> Serviced:
    day = item.get("servicedDate")
    if day is not None:
        whole = _date(day, f"{path}.servicedDate")
        return Serviced(whole, whole)
    period = item.get("servicedPeriod")
    if not isinstance(period, dict):
        return Serviced(None, None)
    start, end = (
        _date(period[name], f"{path}.servicedPeriod.{name}") if name in period else None for name in ("start", "end")
    )
    return Serviced(start, end)


def _date(value: object, expression: str) -> PartialDate:
    parsed = PartialDate.parse(value) if isinstance(value, str) else None
    if parsed is None:
        raise invalid(expression, "must be a date of the calendar")
    return parsed


def _responses(entries: Entries, documents: Iterable[Json | None]) -> tuple[list[Json], list[Json]]:
    """QuestionnaireResponses in the Bundle's order, also those in a DTR response Bundle, and those Bundles."""
    place = {id(entry.resource): entry.index for entry in entries.all_entries}
    present = sorted(_once(documents), key=lambda document: place.get(id(document), len(place)))
    responses: list[Json] = []
    holders: list[Json] = []
    for document in present:
        if document.get("resourceType") == "QuestionnaireResponse":
            responses.append(document)
        elif document.get("resourceType") == "Bundle":
            holders.append(document)
            responses += Entries.of(document).all("QuestionnaireResponse")
    return list(_once(responses)), holders


def _orders(received: Received, item: Json) -> tuple[list[Order], list[Json | None]]:
    """The orders behind the line and their Medications. An order that was not sent is kept, without resource.

    It is no 400, because the line itself says what is asked for; the determiner does not approve over it.
    """
    orders: list[Order] = []
    medications: list[Json | None] = []
    for extension in extensions(item, PAS_REQUESTED_SERVICE):
        reference = object_of(extension, "valueReference") or {}
        resource = received.entries.resolve(reference, within=received.claim, by_identifier=True)
        medication = _medication(received.entries, resource) if resource is not None else None
        concepts = [concept for name in _ORDERED if (concept := object_of(resource or {}, name))]
        concepts += [code] if (code := object_of(medication or {}, "code")) else []
        medications.append(medication)
        orders.append(Order(text_of(reference, "reference") or "", resource, named(concepts)))
    return orders, medications


def _medication(entries: Entries, order: Json) -> Json | None:
    reference = object_of(order, "medicationReference")
    return entries.resolve(reference, within=order, by_identifier=True) if reference is not None else None


def _once(resources: Iterable[R | None]) -> Iterator[R]:
    seen: set[int] = set()
    for resource in resources:
        if resource is not None and id(resource) not in seen:
            seen.add(id(resource))
            yield resource
