"""Case -> ClaimResponse and its Bundle. References are the request's fullUrls; what is echoed stays untouched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from service.fhir.build import Json, bundle, code_concept, entry, extension, identifier, period
from service.fhir.bundle import references
from service.fhir.canonical import (
    PAS_CLAIM_INQUIRY_RESPONSE,
    PAS_CLAIM_RESPONSE,
    PAS_COMMUNICATED_DIAGNOSIS,
    PAS_ERROR_FOLLOWUP_ACTION,
    PAS_ERROR_PATH,
    URI_SYSTEM,
    X12_FOLLOWUP_ACTION,
    X12_REJECT_REASON,
)
from service.pas.add_item import add_items
from service.pas.codes import Reject
from service.pas.elements import instant, listed, object_of
from service.pas.information import communication_references, information_entries
from service.pas.intake import CLAIM, Received
from service.pas.response_items import (
    WAITING,
    Shared,
    answered_lines,
    claim_providers,
    response_items,
    reviewed,
)
from service.pas.shape import Rendering
from service.policy.case import Case
from service.policy.decision import Outcome
from service.policy.determination import GRANTED


@dataclass(frozen=True, slots=True)
class Naming:
    """What a ClaimResponse is called: its id, when it was made, and the profile that it follows."""

    id: str
    created: datetime
    profile: str


def claim_response(case: Case, received: Received, rendering: Rendering, profile: str) -> Json:
    """The ClaimResponse of a case in one version (pas.md 1.2): complete for every outcome that a case can have."""
    shell = _shell(received, rendering, Naming(case.id, case.decided_at, profile))
    shell["extension"] = rendering.shape.root_extensions(received.claim, case)
    shell["outcome"] = _outcome(case, rendering)
    if case.outcome is Outcome.ERROR:
        _refuse(shell, [rendering.codes.rejects[key] for key in _reject_keys(case)], received, rendering)
        return _ordered(shell)
    lines = answered_lines(case, received, rendering)
    items, notes = response_items(lines, _general_notes(case, rendering))
    shell |= {"item": items, "processNote": [_note(number, text) for number, text in enumerate(notes, start=1)]}
    if profile == PAS_CLAIM_INQUIRY_RESPONSE:
        _one_diagnosis(items)
    else:
        # An inquiry's answer has no place for it.
        shell["communicationRequest"] = communication_references(case, rendering)
    if rendering.shape.adds_items:
        shell["addItem"] = add_items(lines)
    if _is_granted(case):
        # Only a whole that is granted: clients read preAuthRef as "approved", whatever the lines say (trap 2).
        shell["preAuthRef"] = case.authorization_number
        shell["preAuthPeriod"] = _whole_period(case)
        if rendering.shape.tells_whole:
            shell["extension"] += claim_providers(received, rendering)
            # The number alone: the review action's code is not allowed there (trap 7).
            shell["adjudication"] = [reviewed(extension("number", valueString=case.authorization_number))]
    return _ordered(shell)


def rejection(received: Received, reject: Reject, rendering: Rendering, naming: Naming) -> Json:
    """A ClaimResponse that says why nothing could be processed, where there is no case."""
    shell = _shell(received, rendering, naming)
    shell["extension"] = rendering.shape.root_extensions(received.claim, None)
    shell["outcome"] = "error"
    _refuse(shell, [reject], received, rendering)
    return _ordered(shell)


def answer_entries(case: Case, received: Received, rendering: Rendering) -> list[Json]:
    """The whole answer to a request: its ClaimResponse, what is still asked for, and all that they refer to."""
    response = claim_response(case, received, rendering, PAS_CLAIM_RESPONSE)
    first, *echoed = entries_with(response, received, rendering.own_url("ClaimResponse", case.id))
    return [first, *information_entries(case, response, received, rendering), *echoed]


def entries_with(response: Json, received: Received, full_url: str) -> list[Json]:
    """The ClaimResponse's entry, then each resource that it refers to, and theirs, once, as received."""
    echoed: dict[int, Json] = {}
    for resource in _referred(response, received):
        for found in (resource, *received.entries.reachable(resource)):
            if found is not received.claim:
                echoed[id(found)] = found
    kept = [e for e in received.entries.all_entries if id(e.resource) in echoed]
    return [entry(full_url, response), *(entry(e.full_url, e.resource) for e in kept)]


def collection(entries: list[Json], *, profile: str, bundle_id: str, at: datetime) -> Json:
    """A response Bundle: identifier (mandatory in 2.2.1), timestamp, type collection."""
    return bundle(
        "collection",
        entries,
        id=bundle_id,
        meta={"profile": [profile]},
        identifier=identifier(URI_SYSTEM, f"urn:uuid:{bundle_id}"),
        timestamp=instant(at),
    )


def _shell(received: Received, rendering: Rendering, naming: Naming) -> Json:
    claim = received.claim
    number = identifier(f"{rendering.settings.base_url}/pa-case", naming.id)
    return {
        "resourceType": "ClaimResponse",
        "id": naming.id,
        "meta": {"profile": [naming.profile]},
        "identifier": [*listed(claim, "identifier"), number],
        "status": "active",
        "type": claim["type"],
        "use": "preauthorization",
        "patient": _echo(received, "patient"),
        "created": instant(naming.created),
        "insurer": _echo(received, "insurer"),
        "requestor": _echo(received, "provider"),
        "request": {"reference": received.entries.full_url_of(claim)},
    }


def _echo(received: Received, name: str) -> Json | None:
    """The fullUrl of what Claim.`name` refers to; a logical reference as it was sent."""
    reference = object_of(received.claim, name)
    if reference is None:
        return None
    target = received.entries.resolve(reference, within=received.claim, by_identifier=True)
    full_url = received.entries.full_url_of(target) if target is not None else None
    return {"reference": full_url} if full_url else reference


def _outcome(case: Case, rendering: Rendering) -> str:
    if case.outcome is Outcome.ERROR:
        return "error"
    waiting = [line.determination.outcome in WAITING for line in case.lines]
    if all(waiting):
        return rendering.shape.pended
    return rendering.shape.mixed if any(waiting) else "complete"


def _reject_keys(case: Case) -> tuple[str, ...]:
    """The refusals behind a case that could not be processed: the obstacles of its lines, each once."""
    return tuple(dict.fromkeys(o.code for line in case.lines for o in line.determination.obstacles))


def _refuse(shell: Json, rejects: list[Reject], received: Received, rendering: Rendering) -> None:
    shell["error"] = [
        {
            "extension": [
                extension(
                    PAS_ERROR_FOLLOWUP_ACTION,
                    valueCodeableConcept=code_concept(X12_FOLLOWUP_ACTION, reject.follow_up),
                ),
                rendering.shape.error_element(reject.element, number),
                extension(PAS_ERROR_PATH, valueString=_error_path(reject, received)),
            ],
            "code": code_concept(X12_REJECT_REASON, reject.code),
        }
        for number, reject in enumerate(rejects, start=1)
    ]
    shell["processNote"] = [_note(number, reject.text) for number, reject in enumerate(rejects, start=1)]


def _error_path(reject: Reject, received: Received) -> str:
    """FHIRPath, from the Bundle, of what is in error."""
    if reject.key == "update-refused":
        return f"{CLAIM}.related"
    name = "insurer" if reject.key == "wrong-payer" else "patient"
    reference = object_of(received.claim, name) or {}
    target = received.entries.resolve(reference, within=received.claim, by_identifier=True)
    found = received.entries.entry_of(target) if target is not None else None
    return f"{found.expression}.identifier" if found else f"{CLAIM}.{name}.identifier"


def _is_granted(case: Case) -> bool:
    """Whether all that is still asked for is granted, in full or in part."""
    outcomes = {line.determination.outcome for line in case.lines} - {Outcome.CANCELLED}
    return bool(outcomes) and outcomes <= GRANTED


def _whole_period(case: Case) -> Json | None:
    """The period that all granted lines share; where they differ, only each line's own is true."""
    periods = {line.determination.period for line in case.lines if line.authorization_number}
    only = periods.pop() if len(periods) == 1 else None
    return period(only.start.isoformat(), only.end.isoformat()) if only else None


def _general_notes(case: Case, rendering: Rendering) -> list[Shared]:
    """When the waiting lines are decided at the latest, and how a denial is appealed."""
    outcomes = {line.determination.outcome for line in case.lines}
    notes: list[Shared] = []
    if case.due is not None and outcomes & WAITING:
        notes.append((WAITING, f"A decision is due by {instant(case.due)}."))
    if Outcome.DENIED in outcomes:
        settings = rendering.settings
        text = f"{settings.appeal_text} {settings.payer_name}, {settings.payer_phone}."
        notes.append((frozenset({Outcome.DENIED}), text))
    return notes


def _one_diagnosis(items: list[Json]) -> None:
    """An inquiry's answer has at most one communicated diagnosis in a line (pas.md 1.3)."""
    for item in items:
        seen = False
        kept = []
        for one in item.get("extension", ()):
            if one["url"] != PAS_COMMUNICATED_DIAGNOSIS or not seen:
                kept.append(one)
            seen = seen or one["url"] == PAS_COMMUNICATED_DIAGNOSIS
        item["extension"] = kept


def _note(number: int, text: str) -> Json:
    return {"number": number, "type": "display", "text": text}


def _referred(response: Json, received: Received) -> Iterator[Json]:
    for _, reference in references(response):
        target = received.entries.resolve(reference, within=received.claim)
        if target is not None and target is not received.claim:
            yield target


def _ordered(shell: Json) -> Json:
    """Without empty elements at the top; what was received and is repeated inside is left as it is."""
    return {name: value for name, value in shell.items() if value is not None and value != []}
