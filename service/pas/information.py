"""What a pended request still needs: asked for by rule; told as CommunicationRequest and Task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from service.fhir.build import Json, code_concept, entry, extension, identifier, prune
from service.fhir.canonical import (
    LOINC,
    NPI,
    PAS_COMMUNICATED_DIAGNOSIS,
    PAS_COMMUNICATION_REQUEST,
    PAS_CONTENT_MODIFIER,
    PAS_ITEM_TRACE_NUMBER,
    PAS_LINE_NUMBER,
    PAS_SERVICE_LINE_NUMBER,
    PAS_TASK,
    PAS_TEMP_CODES,
    X12_REPORT_TYPE,
)
from service.pas import elements
from service.pas.elements import diagnoses_of, identifier_of, identifiers, instant, object_of
from service.pas.filed import items_of
from service.pas.intake import Received
from service.pas.numbers import control_number
from service.pas.shape import NEWEST, Rendering
from service.policy.case import Case, CaseLine, InfoRequest
from service.policy.decision import Outcome, Rules
from service.policy.finding import Finding, Status
from service.policy.model import LinkId

CONTROL_NUMBERS: Final = "/attachment-control-number"
"""Below our own address: the system of control numbers."""

# Payer's questionnaire, in the HL7 attachment set (PAS 2.2.1, Request for Additional Information).
_QUESTIONNAIRE: Final = "102089-0"
_WAITING: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY})
# The rules failed, not the answers: asking for them again would not help.
_NOT_THEIR_FAULT: Final = "evaluation"


def with_questions(case: Case, at: datetime) -> Case:
    """Asks for the payer's questionnaire for each line that rules pended with a criterion that nobody answered.

    Documents are asked for by reviewers only. Nothing is asked twice: a line with an open request waits for it.
    """
    if case.due is None:
        return case
    waits = {one.sequence for one in open_requests(case)}
    asked = list(case.asked)
    for line in case.lines:
        found = line.determination
        unknown = [finding for finding in found.findings if finding.status is Status.UNKNOWN]
        if not unknown or found.sequence in waits or not _by_rules(line):
            continue
        asked.append(
            InfoRequest(
                control_number=control_number(case.id, found.sequence, len(asked)),
                sequence=found.sequence,
                text="Please complete the questionnaire for: " + " ".join(map(_sentence, unknown)),
                link_ids=tuple(dict.fromkeys(link_id for finding in unknown for link_id in _questions(finding))),
                loinc=None,
                asked_at=at,
                due=case.due,
            )
        )
    return replace(case, asked=tuple(asked))


def open_requests(case: Case) -> tuple[InfoRequest, ...]:
    """What was asked for and has not come, for lines that still wait."""
    waiting = {line.determination.sequence for line in case.lines if line.determination.outcome in _WAITING}
    return tuple(one for one in case.asked if one.answered_at is None and one.sequence in waiting)


def communication_references(case: Case, rendering: Rendering) -> list[Json]:
    """ClaimResponse.communicationRequest."""
    return [{"reference": _communication_url(one, rendering)} for one in open_requests(case)]


def information_entries(case: Case, response: Json, received: Received, rendering: Rendering) -> list[Json]:
    """A CommunicationRequest and a Task for each thing asked for, both known by its control number.

    So no Task mixes ways of asking, as the guide wants it (ainfo-7). `response` is the case's ClaimResponse, whose
    references they share.
    """
    asked = open_requests(case)
    items = items_of(case, received.claim)
    told = [_Told(one, items.get(one.sequence) or {}, response, received, rendering) for one in asked]
    return [
        *(entry(_communication_url(one.asked, rendering), _communication(one)) for one in told),
        *(entry(rendering.own_url("Task", one.asked.control_number), _task(one)) for one in told),
    ]


@dataclass(frozen=True, slots=True)
class _Told:
    """One thing asked for on a line, the Claim.item of the line, and all that it is told with."""

    asked: InfoRequest
    item: Json
    response: Json
    received: Received
    rendering: Rendering


def _by_rules(line: CaseLine) -> bool:
    found = line.determination
    failed = any(obstacle.code == _NOT_THEIR_FAULT for obstacle in found.obstacles)
    return found.outcome is Outcome.PENDED and isinstance(found.decision.by, Rules) and not failed


def _questions(finding: Finding) -> Sequence[LinkId]:
    """The questions without an answer; where answers are in conflict, all that the criterion rests on."""
    return finding.missing or finding.criterion.link_ids


def _sentence(finding: Finding) -> str:
    return finding.criterion.text.rstrip(".") + "."


def _is_form(asked: InfoRequest) -> bool:
    return asked.asks_form or asked.loinc in {None, _QUESTIONNAIRE}


def _communication_url(asked: InfoRequest, rendering: Rendering) -> str:
    return rendering.own_url("CommunicationRequest", asked.control_number)


def _control(asked: InfoRequest, rendering: Rendering) -> Json:
    return identifier(f"{rendering.settings.base_url}{CONTROL_NUMBERS}", asked.control_number)


def _communication(told: _Told) -> Json:
    """The line's number stands at the root in 2.2.1, with the payload in 2.0.1 (pas.md trap 19)."""
    asked, response, rendering = told.asked, told.response, told.rendering
    line = [extension(PAS_SERVICE_LINE_NUMBER, valuePositiveInt=asked.sequence)]
    newest = rendering.shape.version == NEWEST
    report = None if _is_form(asked) else rendering.codes.report_types.get(str(asked.loinc))
    about = [*([] if newest else line), *_diagnoses(told), *_modifiers(asked, rendering)]
    made: Json = prune(
        {
            "resourceType": "CommunicationRequest",
            "id": asked.control_number,
            "meta": {"profile": [PAS_COMMUNICATION_REQUEST]},
            "extension": line if newest else [],
            "identifier": [_control(asked, rendering)],
            "status": "active",
            "category": [code_concept(X12_REPORT_TYPE, report)] if report else [],
            "medium": [code_concept(PAS_TEMP_CODES, "CDEX")],
            "payload": [{"extension": about, "contentString": _QUESTIONNAIRE if _is_form(asked) else asked.loinc}],
            "authoredOn": instant(asked.asked_at),
            "requester": response["insurer"],
            "recipient": [response["requestor"]],
            "sender": response["requestor"],
            "note": [{"text": asked.text}],
        }
    )
    return made


def _diagnoses(told: _Told) -> list[Json]:
    """For what the line is asked for."""
    found = diagnoses_of(told.received.claim, told.item)
    return [{"url": PAS_COMMUNICATED_DIAGNOSIS, "valueCodeableConcept": concept} for concept in found]


def _modifiers(asked: InfoRequest, rendering: Rendering) -> list[Json]:
    """How much of a document is wanted, where the payer's table says it."""
    code = None if _is_form(asked) else rendering.codes.content_modifiers.get(str(asked.loinc))
    return [extension(PAS_CONTENT_MODIFIER, valueCodeableConcept=code_concept(LOINC, code))] if code else []


def _task(told: _Told) -> Json:
    """The payer asks, the provider owns it (trap 18)."""
    asked, response, rendering = told.asked, told.response, told.rendering
    settings = rendering.settings
    owner = _provider(told.received)
    address = f"{settings.base_url}{rendering.shape.base}/$submit-attachment"
    kind = "attachment-request-questionnaire" if _is_form(asked) else "attachment-request-code"
    made: Json = prune(
        {
            "resourceType": "Task",
            "id": asked.control_number,
            "meta": {"profile": [PAS_TASK]},
            "identifier": [_control(asked, rendering)],
            "status": "requested",
            "statusReason": {"text": asked.text},
            "intent": "order",
            "code": code_concept(PAS_TEMP_CODES, kind),
            "for": response["patient"],
            "authoredOn": instant(asked.asked_at),
            "requester": {"identifier": identifier(settings.payer_id_system, settings.payer_id)},
            "owner": {"identifier": owner} if owner else None,
            "reasonCode": code_concept(PAS_TEMP_CODES, "priorAuthorization"),
            "reasonReference": response["request"],
            "restriction": {"period": {"end": instant(asked.due)}},
            "input": [{"type": code_concept(PAS_TEMP_CODES, "payer-url"), "valueUrl": address}, _input(told)],
        }
    )
    return made


def _input(told: _Told) -> Json:
    asked, item, rendering = told.asked, told.item, told.rendering
    newest = rendering.shape.version == NEWEST
    if newest:
        line = extension(PAS_SERVICE_LINE_NUMBER, valuePositiveInt=asked.sequence)
    else:
        line = extension(PAS_LINE_NUMBER, valueInteger=asked.sequence)
    if not _is_form(asked):
        kind, value = "attachments-needed", {"valueCodeableConcept": code_concept(LOINC, str(asked.loinc))}
    elif newest:
        # The context of the questionnaire equals the item's trace number (PAS 2.2.1 profile-task).
        kind, value = "questionnaire-context", {"valueString": _trace(asked, item, rendering)["value"]}
    else:
        kind, value = "questionnaires-needed", {"valueIdentifier": _trace(asked, item, rendering)}
    # 2.0.1 allows the modifier with a payload alone.
    modifiers = _modifiers(asked, rendering) if newest else []
    return {"extension": [line, *modifiers], "type": code_concept(PAS_TEMP_CODES, kind), **value}


def _trace(asked: InfoRequest, item: Json, rendering: Rendering) -> Json:
    """The line's trace number as it was sent, else our control number."""
    sent = object_of(elements.extension(item, PAS_ITEM_TRACE_NUMBER) or {}, "valueIdentifier")
    return sent if sent and elements.text_of(sent, "value") else _control(asked, rendering)


def _provider(received: Received) -> Json | None:
    """An identifier of Claim.provider, its NPI where it has one."""
    found = list(_provider_identifiers(received))
    return next((one for one in found if one.get("system") == NPI), found[0] if found else None)


def _provider_identifiers(received: Received) -> Iterator[Json]:
    reference = object_of(received.claim, "provider") or {}
    logical = identifier_of(reference)
    if logical is not None:
        yield identifier(*logical)
    provider = received.entries.resolve(reference, within=received.claim, by_identifier=True)
    if provider is None:
        return
    yield from (identifier(system, value) for _, system, value in identifiers(provider))
    for name in ("practitioner", "organization"):
        behind = object_of(provider, name)
        target = received.entries.resolve(behind, within=provider, by_identifier=True) if behind else None
        yield from (identifier(system, value) for _, system, value in identifiers(target or {}))
