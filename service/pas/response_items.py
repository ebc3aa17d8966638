"""Case lines -> ClaimResponse.item, each with its review action, and the notes that they point to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Final

from service.fhir.build import Json, code_concept, extension, nested_extension, period
from service.fhir.canonical import (
    ADJUDICATION,
    PAS_ADMINISTRATION_REFERENCE,
    PAS_CARE_TEAM_CLAIM_SCOPE,
    PAS_ITEM_AUTHORIZED_DETAIL,
    PAS_ITEM_AUTHORIZED_PROVIDER,
    PAS_ITEM_ISSUE_DATE,
    PAS_ITEM_PERIOD,
    PAS_ITEM_REQUESTED_SERVICE_DATE,
    PAS_ITEM_TRACE_NUMBER,
    PAS_REVIEW_ACTION,
    PAS_REVIEW_ACTION_CODE,
    X12_ENTITY_TYPE,
)
from service.pas import elements
from service.pas.elements import extensions, listed, numbers, object_of
from service.pas.intake import Received
from service.pas.shape import Rendering
from service.policy.case import Case, CaseLine
from service.policy.decision import Outcome

GRANTED: Final = frozenset({Outcome.APPROVED, Outcome.MODIFIED})
WAITING: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY})


def response_items(case: Case, received: Received, rendering: Rendering) -> tuple[list[Json], list[str]]:
    """(item, notes): every requested line with its sequence; notes are numbered over all lines, from 1."""
    requested = {item["sequence"]: item for item in listed(received.claim, "item")}
    items: list[Json] = []
    notes: list[str] = []
    for line in case.lines:
        first = len(notes) + 1
        notes += line.determination.notes
        item = requested[line.determination.sequence]
        made: Json = {
            "extension": list(_extensions(case, line, item, received, rendering)),
            "itemSequence": line.determination.sequence,
            "noteNumber": list(range(first, len(notes) + 1)),
            "adjudication": [_adjudication(line, rendering)],
        }
        items.append({name: value for name, value in made.items() if value != []})
    return items, notes


def _adjudication(line: CaseLine, rendering: Rendering) -> Json:
    """The decision, where the guide wants it: nested by two full URLs under adjudication (trap 1)."""
    outcome = line.determination.outcome
    number = line.authorization_number
    reasons = line.determination.decision.reasons
    coded = outcome in rendering.codes.decision_reasons
    reason = reasons[0] if reasons and (outcome is Outcome.DENIED or coded) else None
    action = nested_extension(
        PAS_REVIEW_ACTION,
        extension("number", valueString=number) if number else None,
        extension(PAS_REVIEW_ACTION_CODE, valueCodeableConcept=rendering.codes.review_action(outcome)),
        extension("reasonCode", valueCodeableConcept=rendering.codes.decision_reason(outcome, reason))
        if reason
        else None,
    )
    return {"extension": [action], "category": code_concept(ADJUDICATION, "submitted")}


def _extensions(case: Case, line: CaseLine, item: Json, received: Received, rendering: Rendering) -> Iterator[Json]:
    yield from extensions(item, PAS_ITEM_TRACE_NUMBER)
    granted = line.determination.outcome in GRANTED
    if granted:
        yield extension(PAS_ITEM_ISSUE_DATE, valueDate=case.decided_at.astimezone(UTC).date().isoformat())
        if (valid := line.determination.period) is not None:
            whole = period(valid.start.isoformat(), valid.end.isoformat())
            yield extension(PAS_ITEM_PERIOD, valuePeriod=whole)
    else:
        # X12 REF*NT: what a request that has no authorization number is asked for by.
        yield extension(PAS_ADMINISTRATION_REFERENCE, valueString=line.reference_number)
    if "servicedDate" in item:
        yield {"url": PAS_ITEM_REQUESTED_SERVICE_DATE, "valueDateTime": item["servicedDate"]}
    elif "servicedPeriod" in item:
        yield {"url": PAS_ITEM_REQUESTED_SERVICE_DATE, "valuePeriod": item["servicedPeriod"]}
    if line.determination.outcome is Outcome.APPROVED:
        for provider in _providers(item, received):
            yield _authorized_provider(provider, rendering)
        yield _authorized_detail(item, rendering)


def _providers(item: Json, received: Received) -> list[str]:
    """fullUrls of the practitioners or organizations asked for: the line's care team, else the whole claim's,
    else the requestor. A role stands for its practitioner, else its organization (the extension takes no role)."""
    team = listed(received.claim, "careTeam")
    pointed = numbers(item, "careTeamSequence")
    members = [member for member in team if member.get("sequence") in pointed] or [
        member for member in team if (elements.extension(member, PAS_CARE_TEAM_CLAIM_SCOPE) or {}).get("valueBoolean")
    ]
    asked = [_person(object_of(member, "provider"), received) for member in members]
    urls = [url for url in asked if url]
    requestor = None if urls else _person(object_of(received.claim, "provider"), received)
    return list(dict.fromkeys([*urls, requestor] if requestor else urls))


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
    kind = rendering.codes.authorized_provider
    return nested_extension(
        PAS_ITEM_AUTHORIZED_PROVIDER,
        extension("provider", valueReference={"reference": full_url}),
        rendering.shape.provider_type(code_concept(X12_ENTITY_TYPE, kind)) if kind else None,
    )


def _authorized_detail(item: Json, rendering: Rendering) -> Json:
    """Exactly what was requested, as it was written."""
    return nested_extension(
        PAS_ITEM_AUTHORIZED_DETAIL,
        {"url": "productOrServiceCode", "valueCodeableConcept": item["productOrService"]},
        *({"url": "modifier", "valueCodeableConcept": modifier} for modifier in listed(item, "modifier")),
        {"url": "unitPrice", "valueMoney": item["unitPrice"]} if "unitPrice" in item else None,
        {"url": "quantity", "valueQuantity": item["quantity"]} if "quantity" in item else None,
        rendering.shape.revenue(item["revenue"]) if "revenue" in item else None,
    )
