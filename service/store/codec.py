"""Cases and assertions to JSON text and back, exactly; the text carries a format number."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

from service.fhir.json import decode, encode
from service.policy.case import Case, CaseId, ClientId, InfoRequest, MemberId, Npi, Urgency
from service.policy.model import LinkId
from service.ports import Assertion
from service.store.line_codec import read_line, write_line

FORMAT: Final = 2
"""Counts up when the JSON changes shape; the readers must go on reading every older number."""

# Our own documents, whose size the caller's request already bounded.
_MAX_BYTES: Final = 1 << 30
_MAX_DEPTH: Final = 1000


class UnknownFormat(ValueError):
    """A stored document of a format that this version does not know: it was written by a newer one."""


def write_json(document: Mapping[str, Any]) -> str:
    """JSON text; Decimals keep their digits."""
    return encode(document).decode()


def read_json(text: str) -> Any:
    """The value that `write_json` was given; fractions are Decimal."""
    return decode(text.encode(), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)


def write_case(case: Case) -> str:
    """The case as JSON text."""
    return write_json(
        {
            "format": FORMAT,
            "id": case.id,
            "client": case.client,
            "guideVersion": case.guide_version,
            "receivedAt": write_instant(case.received_at),
            "decidedAt": write_instant(case.decided_at),
            "member": case.member,
            "providers": sorted(case.providers),
            "claimIdentifiers": case.claim_identifiers,
            "firstService": case.first_service and case.first_service.isoformat(),
            "lines": [write_line(line) for line in case.lines],
            "linked": case.linked,
            "revision": case.revision,
            "urgency": case.urgency.value,
            "due": case.due and write_instant(case.due),
            "asked": [_write_asked(asked) for asked in case.asked],
            "replaces": case.replaces,
            "replacedBy": case.replaced_by,
            "heldBy": case.held_by,
            "claimUrl": case.claim_url,
        }
    )


def read_case(text: str) -> Case:
    """The case that `write_case` wrote; UnknownFormat for a format number from the future."""
    document = _known(read_json(text))
    member = document["member"]
    first_service = document["firstService"]
    return Case(
        id=CaseId(document["id"]),
        client=ClientId(document["client"]),
        guide_version=document["guideVersion"],
        received_at=datetime.fromisoformat(document["receivedAt"]),
        decided_at=datetime.fromisoformat(document["decidedAt"]),
        member=None if member is None else MemberId(member),
        providers=frozenset(Npi(npi) for npi in document["providers"]),
        claim_identifiers=tuple(document["claimIdentifiers"]),
        first_service=None if first_service is None else date.fromisoformat(first_service),
        lines=tuple(read_line(line) for line in document["lines"]),
        linked=tuple(CaseId(case_id) for case_id in document["linked"]),
        # What follows is not in format 1.
        revision=document.get("revision", 1),
        urgency=Urgency(document.get("urgency", Urgency.STANDARD)),
        due=_instant(document.get("due")),
        asked=tuple(_read_asked(asked) for asked in document.get("asked", ())),
        replaces=_case_id(document.get("replaces")),
        replaced_by=_case_id(document.get("replacedBy")),
        held_by=document.get("heldBy"),
        claim_url=document.get("claimUrl"),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _case_id(text: str | None) -> CaseId | None:
    return None if text is None else CaseId(text)


def _write_asked(asked: InfoRequest) -> dict[str, Any]:
    return {
        "controlNumber": asked.control_number,
        "sequence": asked.sequence,
        "text": asked.text,
        "linkIds": asked.link_ids,
        "loinc": asked.loinc,
        "askedAt": write_instant(asked.asked_at),
        "due": write_instant(asked.due),
        "answeredAt": asked.answered_at and write_instant(asked.answered_at),
    }


def _read_asked(asked: Mapping[str, Any]) -> InfoRequest:
    return InfoRequest(
        control_number=asked["controlNumber"],
        sequence=asked["sequence"],
        text=asked["text"],
        link_ids=tuple(LinkId(link_id) for link_id in asked["linkIds"]),
        loinc=asked["loinc"],
        asked_at=datetime.fromisoformat(asked["askedAt"]),
        due=datetime.fromisoformat(asked["due"]),
        answered_at=_instant(asked["answeredAt"]),
    )


def write_assertion(assertion: Assertion) -> str:
    """The assertion as JSON text; what was shown keeps its numbers' digits."""
    return write_json(
        {
            "format": FORMAT,
            "id": assertion.id,
            "client": assertion.client,
            "orderKey": assertion.order_key,
            "coverageKey": assertion.coverage_key,
            "orderReference": assertion.order_reference,
            "coverageReference": assertion.coverage_reference,
            "policyId": assertion.policy_id,
            "questionnaire": assertion.questionnaire,
            "madeAt": write_instant(assertion.made_at),
            "shown": assertion.shown,
            "contentKey": assertion.content_key,
        }
    )


def read_assertion(text: str) -> Assertion:
    """The assertion that `write_assertion` wrote."""
    document = _known(read_json(text))
    return Assertion(
        id=document["id"],
        client=ClientId(document["client"]),
        order_key=document["orderKey"],
        coverage_key=document["coverageKey"],
        order_reference=document["orderReference"],
        coverage_reference=document["coverageReference"],
        policy_id=document["policyId"],
        questionnaire=document["questionnaire"],
        made_at=datetime.fromisoformat(document["madeAt"]),
        shown=document["shown"],
        # Assertions of before it was kept are not found by it.
        content_key=document.get("contentKey", ""),
    )


def _known(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if not 1 <= document["format"] <= FORMAT:
        raise UnknownFormat(f"a stored document has format {document['format']}; this version reads up to {FORMAT}")
    return document


def write_instant(moment: datetime) -> str:
    """ISO 8601 in UTC. A time without zone is refused: it names no instant."""
    if moment.tzinfo is None:
        raise ValueError("an instant has a zone")
    return moment.astimezone(UTC).isoformat()
