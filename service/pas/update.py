"""What an update asks of each line: keep, cancel, or decide anew. No rule revokes an approval."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from service.determine.request import PriorAuthRequest, RequestLine
from service.fhir.canonical import (
    PAS_CERTIFICATION_TYPE,
    PAS_INFO_CHANGED,
    PAS_ITEM_TRACE_NUMBER,
    PAS_REQUESTED_SERVICE,
)
from service.fhir.json import content_hash
from service.pas.certification import cancels, changed
from service.pas.codes import X12Codes
from service.pas.elements import Json, codings, listed, npis, numbers, object_of
from service.pas.filed import Filed
from service.pas.intake import Received
from service.policy.case import Authorization, Case, CaseLine, MemberId
from service.policy.decision import RULES, Decision, Outcome
from service.policy.determination import GRANTED, LineDetermination

CANCELLED_NOTE: Final = "Cancelled at the provider's request."
# What an item says about this message, rather than about the service.
_OF_THE_MESSAGE: Final = frozenset(
    {PAS_INFO_CHANGED, PAS_CERTIFICATION_TYPE, PAS_ITEM_TRACE_NUMBER, PAS_REQUESTED_SERVICE}
)
_CLOSED: Final = frozenset({Outcome.DENIED, Outcome.CANCELLED})


@dataclass(frozen=True, slots=True)
class Update:
    """Lines settled without the rules, by sequence, and the lines of the request that the rules decide."""

    settled: dict[int, CaseLine]
    to_decide: tuple[RequestLine, ...]


@dataclass(frozen=True, slots=True)
class Versions:
    """The update beside the version that it changes."""

    received: Received
    prior: Filed
    codes: X12Codes


def is_refused(versions: Versions) -> bool:
    """What is denied or cancelled as a whole takes no update, nor does a denied line (pas.md 1.4): new request.

    A line that was denied and is only carried along, or withdrawn, is no reason to refuse the others.
    """
    case = versions.prior.case
    if all(line.determination.outcome in _CLOSED for line in case.lines):
        return True
    items = {item["sequence"]: item for item in listed(versions.received.claim, "item")}
    denied = [line for line in case.lines if line.determination.outcome is Outcome.DENIED]
    return any(
        (item := items.get(line.determination.sequence)) is not None
        and not _withdrawn(versions, item)
        and (changed(item) or not _same(versions, item))
        for line in denied
    )


def compare(versions: Versions, request: PriorAuthRequest) -> Update:
    """Settle what needs no decision.

    Cancelled lines and lines of the version before that the update leaves out; approved, modified and denied
    lines that are asked for exactly as before and not marked as changed.
    """
    before = {line.determination.sequence: line for line in versions.prior.case.lines}
    settled: dict[int, CaseLine] = {}
    to_decide: list[RequestLine] = []
    for line in request.lines:
        known = before.get(line.sequence)
        item = dict(line.item)
        if _withdrawn(versions, item):
            settled[line.sequence] = _cancelled(known, line.sequence, line.code, versions)
        elif known is not None and _stands(versions, known, item):
            settled[line.sequence] = _kept(known, versions.prior.case)
        else:
            to_decide.append(line)
    asked = {line.sequence for line in request.lines}
    for sequence, known in before.items():
        if sequence not in asked:
            whole = cancels(versions.received.claim, versions.codes)
            kept = (
                _cancelled(known, sequence, known.determination.code, versions)
                if whole
                else _kept(known, versions.prior.case)
            )
            settled[sequence] = replace(kept, carried=_carried(versions.prior.items[sequence]))
    return Update(settled, tuple(to_decide))


def decided_again(known: CaseLine, decided: CaseLine, case: Case) -> CaseLine:
    """A line that the rules decided anew, tied to the line before: its reference number, and what it was granted."""
    previous = granted_before(known, case)
    found = decided.determination
    if previous is not None and found.outcome not in GRANTED:
        note = f"Authorization {previous.number} stays valid until this change is decided."
        found = replace(found, notes=(*found.notes, note))
    return replace(
        decided,
        determination=found,
        reference_number=known.reference_number,
        previous=previous,
        assertion_id=known.assertion_id,
    )


def granted_before(line: CaseLine, case: Case) -> Authorization | None:
    """What a line of an earlier version was granted, else what was still valid from before it."""
    found = line.determination
    if line.authorization_number is None or found.period is None:
        return line.previous if found.outcome is not Outcome.CANCELLED else None
    policy = found.policy.id if found.policy else ""
    return Authorization(line.authorization_number, policy, case.member or MemberId(""), found.period)


def _withdrawn(versions: Versions, item: Json) -> bool:
    return cancels(versions.received.claim, versions.codes) or cancels(item, versions.codes)


def _stands(versions: Versions, known: CaseLine, item: Json) -> bool:
    outcome = known.determination.outcome
    return outcome in GRANTED | {Outcome.DENIED} and not changed(item) and _same(versions, item)


def _carried(item: Json) -> Json:
    """The item without what it pointed to: sequences and references mean something else in a later request."""
    kept = {name: value for name, value in item.items() if not name.endswith(("Sequence", "Reference"))}
    left = [one for one in listed(item, "extension") if "valueReference" not in one]
    return {**kept, "extension": left, "sequence": item["sequence"]}


def _kept(line: CaseLine, case: Case) -> CaseLine:
    issued = (line.issued_at or case.decided_at) if line.authorization_number else None
    return replace(line, issued_at=issued, carried=None)


def _cancelled(known: CaseLine | None, sequence: int, code: str | None, versions: Versions) -> CaseLine:
    """Whatever was granted ends, and its number is told once more; what was denied stays denied."""
    case = versions.prior.case
    if known is not None and known.determination.outcome in _CLOSED:
        return _kept(known, case)
    found = LineDetermination(
        sequence=sequence,
        code=code,
        decision=Decision(Outcome.CANCELLED, RULES, (CANCELLED_NOTE,)),
        period=None,
        policy=known.determination.policy if known else None,
        pathway=known.determination.pathway if known else None,
        findings=(),
        obstacles=(),
        notes=(CANCELLED_NOTE,),
    )
    reference = known.reference_number if known else ""
    if known is None:
        return CaseLine(found, None, reference)
    return CaseLine(found, None, reference, granted_before(known, case), assertion_id=known.assertion_id)


def _same(versions: Versions, item: Json) -> bool:
    """Whether the item asks for what the version before asked for under that sequence."""
    before = versions.prior.items.get(item["sequence"])
    if before is None:
        return False
    return _content(item, versions.received) == _content(before, versions.prior.received)


def _content(item: Json, received: Received) -> str:
    """A hash of the service, who gives it and for which diagnosis; references count for whom they mean."""
    service: dict[str, Any] = {name: value for name, value in item.items() if not name.endswith("Sequence")}
    service["extension"] = [one for one in listed(item, "extension") if one.get("url") not in _OF_THE_MESSAGE]
    service["modifierExtension"] = [
        one for one in listed(item, "modifierExtension") if one.get("valueBoolean") is not False
    ]
    service["sequence"] = item["sequence"]
    return content_hash(
        {
            "service": service,
            "team": [_member(member, received) for member in _pointed(item, received, "careTeam")],
            "diagnoses": [_diagnosis(one, received) for one in _pointed(item, received, "diagnosis")],
        }
    )


def _pointed(item: Json, received: Received, name: str) -> list[Json]:
    """The Claim's entries of that name that the item points to; all when it points to none."""
    sequences = numbers(item, f"{name}Sequence")
    return [one for one in listed(received.claim, name) if not sequences or one.get("sequence") in sequences]


def _member(member: Json, received: Received) -> list[str]:
    reference = object_of(member, "provider") or {}
    person = received.entries.resolve(reference, within=received.claim, by_identifier=True)
    behind = [person] if person is not None else []
    if person is not None:
        behind += received.entries.reachable(person)
    known = sorted({npi for resource in behind for npi in npis(resource)})
    return known or [str(reference.get("reference"))]


def _diagnosis(diagnosis: Json, received: Received) -> list[str]:
    reference = object_of(diagnosis, "diagnosisReference")
    condition = received.entries.resolve(reference, within=received.claim) if reference else None
    concept = object_of(condition, "code") if condition else object_of(diagnosis, "diagnosisCodeableConcept")
    return sorted(f"{system}|{code}" for system, code in codings(concept))
