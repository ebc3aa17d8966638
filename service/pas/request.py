"""PAS request Bundle -> PriorAuthRequest; also what `evaluate` on the command line reads."""

from __future__ import annotations

from datetime import UTC, datetime

from service.determine.request import PriorAuthRequest
from service.fhir.parse import StructureCheck
from service.pas.elements import identifiers, object_of, text_of
from service.pas.intake import CLAIM, Received, invalid, missing, receive
from service.pas.lines import lines_of
from service.pas.parties import Parties, parties_of
from service.policy.dates import PartialDate


def parse(bundle: object, check: StructureCheck, *, member_system: str | None = None) -> PriorAuthRequest:
    """Parse decoded JSON: a PAS request Bundle, or Parameters with one parameter `resource` holding it.

    InvalidResource, MissingElement or UnresolvedReference (all HTTP 400) for what the guide makes mandatory
    (pas.md 1.7); what is optional and absent is missing evidence, never an error. `member_system` is the
    payer's system of member ids, taken beside identifiers of type MB.
    """
    received = receive(bundle, check)
    request = request_of(received, parties_of(received, member_system))
    if not request.lines:
        raise missing(f"{CLAIM}.item")
    return request


def request_of(received: Received, parties: Parties) -> PriorAuthRequest:
    """The request's values, once its parties are known."""
    claim = received.claim
    if object_of(claim, "type") is None:
        raise missing(f"{CLAIM}.type")
    created = text_of(claim, "created")
    if created is None:
        raise missing(f"{CLAIM}.created")
    created_on = PartialDate.parse(created)
    if created_on is None:
        raise invalid(f"{CLAIM}.created", "must be a date of the calendar")
    return PriorAuthRequest(
        claim=claim,
        patient=parties.patient,
        coverage=parties.coverage,
        patient_references=parties.patient_references,
        insurer_ids=parties.insurer_ids,
        payor_ids=parties.payor_ids,
        patient_member_ids=parties.patient_member_ids,
        coverage_member_ids=parties.coverage_member_ids,
        provider_npis=parties.provider_npis,
        claim_identifiers=tuple(f"{system or ''}|{value}" for _, system, value in identifiers(claim)),
        created=created_on,
        created_at=_instant(created),
        lines=lines_of(received, parties),
    )


def _instant(text: str) -> datetime | None:
    """The instant of a dateTime that has time and zone, in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
