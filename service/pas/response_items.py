"""Case lines -> ClaimResponse.item, each with its review action, and the notes that they point to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from service.fhir.build import Json, code_concept, extension, nested_extension, period
from service.fhir.build import quantity as quantity_of
from service.fhir.canonical import (
    ADJUDICATION,
    PAS_ADMINISTRATION_REFERENCE,
    PAS_AUTHORIZATION_NUMBER,
    PAS_CARE_TEAM_CLAIM_SCOPE,
    PAS_COMMUNICATED_DIAGNOSIS,
    PAS_ITEM_AUTHORIZED_DETAIL,
    PAS_ITEM_AUTHORIZED_PROVIDER,
    PAS_ITEM_ISSUE_DATE,
    PAS_ITEM_PERIOD,
    PAS_ITEM_REQUESTED_SERVICE_DATE,
    PAS_ITEM_TRACE_NUMBER,
    PAS_REVIEW_ACTION,
    PAS_REVIEW_ACTION_CODE,
    PAS_TEMP_CODES,
    X12_ENTITY_TYPE,
    X12_SYSTEMS,
)
from service.pas import elements
from service.pas.certification import removed
from service.pas.elements import codings, diagnoses_of, extensions, listed, numbers, object_of
from service.pas.filed import items_of
from service.pas.intake import Received
from service.pas.shape import Rendering
from service.policy.case import Case, CaseLine
from service.policy.decision import Outcome
from service.policy.determination import GRANTED

PAS_ADMISSION_DATES: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-admissionDates"
PAS_DISCHARGE_DATE: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-dischargeDate"
_BARE: Final = "unit"
WAITING: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY})


@dataclass(frozen=True, slots=True)
class Answered:
    """A line beside what was asked for, and all that its answer is made with."""

    case: Case
    line: CaseLine
    item: Json
    received: Received
    rendering: Rendering


Shared = tuple[frozenset[Outcome], str]
"""A note about the whole case, and the outcomes of the lines that point to it."""


def answered_lines(case: Case, received: Received, rendering: Rendering) -> list[Answered]:
    """Every line of the case, in its order."""
    items = items_of(case, received.claim)
    return [Answered(case, line, items[line.determination.sequence], received, rendering) for line in case.lines]


def response_items(lines: Sequence[Answered], general: Sequence[Shared]) -> tuple[list[Json], list[str]]:
    """(item, notes): every line with its sequence; notes are numbered over all lines, from 1, general ones last."""
    notes: list[str] = []
    own: list[list[int]] = []
    for answered in lines:
        first = len(notes) + 1
        notes += answered.line.determination.notes
        own.append(list(range(first, len(notes) + 1)))
    shared = list(enumerate(general, start=len(notes) + 1))
    items: list[Json] = []
    for answered, numbers_of_line in zip(lines, own, strict=True):
        outcome = answered.line.determination.outcome
        made: Json = {
            "extension": list(_extensions(answered)),
            "itemSequence": answered.line.determination.sequence,
            "noteNumber": [*numbers_of_line, *(number for number, (of, _) in shared if outcome in of)],
            "adjudication": [adjudication(answered)],
        }
        items.append({name: value for name, value in made.items() if value != []})
    return items, [*notes, *(text for _, text in general)]


def adjudication(answered: Answered) -> Json:
    """The decision, where the guide wants it: nested by two full URLs under adjudication (trap 1)."""
    line, codes = answered.line, answered.rendering.codes
    outcome, granted = line.determination.outcome, line.determination.granted
    number = line.authorization_number
    # Its binding is required: a text alone would be no reasonCode. The words are the line's note in either case.
    reason = codes.decision_reason(line.determination.decision)
    return reviewed(
        extension("number", valueString=number) if number else None,
        extension(PAS_REVIEW_ACTION_CODE, valueCodeableConcept=codes.review_action(outcome, granted)),
        extension("reasonCode", valueCodeableConcept=reason) if reason else None,
    )


def reviewed(*parts: Json | None) -> Json:
    """An adjudication that carries a reviewAction."""
    return {
        "extension": [nested_extension(PAS_REVIEW_ACTION, *parts)],
        "category": code_concept(ADJUDICATION, "submitted"),
    }


def issue_and_period(answered: Answered) -> Iterator[Json]:
    """When the line was authorized, and for when."""
    issued = answered.line.issued_at or answered.case.decided_at
    yield extension(PAS_ITEM_ISSUE_DATE, valueDate=issued.astimezone(UTC).date().isoformat())
    if (valid := answered.line.determination.period) is not None:
        yield extension(PAS_ITEM_PERIOD, valuePeriod=period(valid.start.isoformat(), valid.end.isoformat()))


def previous_number(line: CaseLine) -> str | None:
    """The number that an earlier version of the line was granted under, unless the line still has it (REF*BB)."""
    previous = line.previous
    return previous.number if previous and previous.number != line.authorization_number else None


def earlier_numbers(answered: Answered) -> Iterator[Json]:
    """The number that was valid before the one that the line has, if any."""
    if previous := previous_number(answered.line):
        yield extension(PAS_AUTHORIZATION_NUMBER, valueString=previous)


def stay_extensions(answered: Answered) -> Iterator[Json]:
    """Dates of admission and discharge as the Claim tells them (2.2.1)."""
    if not answered.rendering.shape.tells_stay:
        return
    for supporting in listed(answered.received.claim, "supportingInfo"):
        if removed(supporting):
            continue
        said = {code for system, code in codings(supporting.get("category")) if system == PAS_TEMP_CODES}
        if "admissionDates" in said and "timingPeriod" in supporting:
            yield {"url": PAS_ADMISSION_DATES, "valuePeriod": supporting["timingPeriod"]}
        elif "admissionDates" in said and "timingDate" in supporting:
            yield {"url": PAS_ADMISSION_DATES, "valueDate": supporting["timingDate"]}
        elif "dischargeDates" in said and "timingDate" in supporting:
            yield {"url": PAS_DISCHARGE_DATE, "valueDate": supporting["timingDate"]}


def _extensions(answered: Answered) -> Iterator[Json]:
    line, item = answered.line, answered.item
    yield from extensions(item, PAS_ITEM_TRACE_NUMBER)
    granted = line.determination.outcome in GRANTED
    if granted:
        yield from issue_and_period(answered)
    yield from earlier_numbers(answered)
    if not granted:
        # X12 REF*NT: what a request that has no authorization number is asked for by.
        yield extension(PAS_ADMINISTRATION_REFERENCE, valueString=line.reference_number)
    if "servicedDate" in item:
        yield {"url": PAS_ITEM_REQUESTED_SERVICE_DATE, "valueDateTime": item["servicedDate"]}
    elif "servicedPeriod" in item:
        yield {"url": PAS_ITEM_REQUESTED_SERVICE_DATE, "valuePeriod": item["servicedPeriod"]}
    yield from stay_extensions(answered)
    yield from _diagnoses(answered)
    if granted:
        for provider in authorized_providers(answered):
            yield _authorized_provider(provider, answered.rendering)
        yield _authorized_detail(answered)


def _diagnoses(answered: Answered) -> Iterator[Json]:
    """The diagnoses that the line points to, as they were communicated."""
    for concept in diagnoses_of(answered.received.claim, answered.item):
        yield {"url": PAS_COMMUNICATED_DIAGNOSIS, "valueCodeableConcept": concept}


def authorized_providers(answered: Answered) -> list[str]:
    """fullUrls of the practitioners or organizations asked for: the line's care team, else the whole claim's,
    else the requestor. A role stands for its practitioner, else its organization (the extension takes no role).
    None for a line that this version of the request does not have: its team is that of an earlier one."""
    if answered.line.carried is not None:
        return []
    item, received = answered.item, answered.received
    team = listed(received.claim, "careTeam")
    pointed = numbers(item, "careTeamSequence")
    urls = _persons([one for one in team if one.get("sequence") in pointed], received) or _whole_team(received)
    requestor = None if urls else _person(object_of(received.claim, "provider"), received)
    return list(dict.fromkeys([*urls, requestor] if requestor else urls))


def claim_providers(received: Received, rendering: Rendering) -> list[Json]:
    """The authorized providers of the whole: those whom the request names for all its lines."""
    return [_authorized_provider(url, rendering) for url in dict.fromkeys(_whole_team(received))]


def _whole_team(received: Received) -> list[str]:
    scoped = [
        member
        for member in listed(received.claim, "careTeam")
        if (elements.extension(member, PAS_CARE_TEAM_CLAIM_SCOPE) or {}).get("valueBoolean") is True
    ]
    return _persons(scoped, received)


def _persons(members: Sequence[Json], received: Received) -> list[str]:
    found = [_person(object_of(member, "provider"), received) for member in members]
    return [url for url in found if url]


def _person(reference: Json | None, received: Received) -> str | None:
    if reference is None:
        return None
    found = received.entries.resolve(reference, within=received.claim, by_identifier=True)
    if found is not None and found.get("resourceType") == "PractitionerRole":
        behind = (object_of(found, name) for name in ("practitioner", "organization"))
        named = [
            received.entries.resolve(reference, within=found, by_identifier=True) for reference in behind if reference
        ]
        found = next((resource for resource in named if resource is not None), None)
    if found is None or found.get("resourceType") not in {"Practitioner", "Organization"}:
        return None
    return received.entries.full_url_of(found)


def _authorized_provider(full_url: str, rendering: Rendering) -> Json:
    return nested_extension(
        PAS_ITEM_AUTHORIZED_PROVIDER,
        extension("provider", valueReference={"reference": full_url}),
        provider_type(rendering),
    )


def provider_type(rendering: Rendering) -> Json | None:
    """What kind of provider is authorized, where the payer's table says it."""
    kind = rendering.codes.authorized_provider
    return rendering.shape.provider_type(code_concept(X12_ENTITY_TYPE, kind)) if kind else None


def _authorized_detail(answered: Answered) -> Json:
    """What is authorized: as it was requested, except for what was granted instead."""
    item = answered.item
    quantity = granted_quantity(answered)
    return nested_extension(
        PAS_ITEM_AUTHORIZED_DETAIL,
        {"url": "productOrServiceCode", "valueCodeableConcept": item["productOrService"]},
        *({"url": "modifier", "valueCodeableConcept": modifier} for modifier in listed(item, "modifier")),
        {"url": "unitPrice", "valueMoney": item["unitPrice"]} if "unitPrice" in item else None,
        {"url": "quantity", "valueQuantity": quantity} if quantity else None,
        answered.rendering.shape.revenue(item["revenue"]) if "revenue" in item else None,
    )


def granted_quantity(answered: Answered) -> Json | None:
    """The quantity that is authorized, in the unit that was asked for unless another was granted."""
    asked = object_of(answered.item, "quantity")
    granted = answered.line.determination.granted
    if granted is None or granted.quantity is None:
        return _in_units(asked) if asked is not None else None
    same_unit = granted.unit is None or granted.unit in {(asked or {}).get("unit"), (asked or {}).get("code")}
    if asked is not None and same_unit:
        return _in_units({**asked, "value": granted.quantity})
    return _in_units(quantity_of(granted.quantity, unit=granted.unit))


def _in_units(quantity: Json) -> Json | None:
    """With a unit (prof-2), and with no code but one of X12's (prof-3): another code is told as the unit.

    A bare number on an item counts the service itself (R4, Claim.item.quantity), so its unit is a unit.
    """
    if "value" not in quantity:
        return None
    if str(quantity.get("system")).startswith(X12_SYSTEMS) and ("unit" in quantity or "code" in quantity):
        return quantity
    named = {name: value for name, value in quantity.items() if name not in ("system", "code")}
    return {**named, "unit": quantity.get("unit") or quantity.get("code") or _BARE}
