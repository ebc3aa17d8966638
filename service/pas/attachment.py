"""$submit-attachment: what was asked for arrives, is kept as it was sent, and answers re-open the evaluation."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from service.determine.request import Receipt
from service.errors import BusinessRule, Conflict, NotFound
from service.fhir.build import Json
from service.fhir.canonical import PAS_TEMP_CODES
from service.fhir.json import content_hash, encode
from service.fhir.outcome import issue, outcome
from service.log import request_id
from service.pas.dependencies import PasDependencies
from service.pas.elements import listed, numbers, positive
from service.pas.information import with_questions
from service.pas.intake import bundle_of, read_message, receive
from service.pas.judge import determined, held
from service.pas.numbers import authorization_number
from service.pas.parties import parties_of
from service.pas.records import determination_record
from service.pas.request import request_of
from service.pas.sent_information import Sent, read_sent
from service.pas.update import decided_again
from service.policy.case import Case, CaseId, CaseLine, InfoRequest
from service.policy.decision import Outcome
from service.policy.determination import GRANTED, LineDetermination
from service.ports import CASE_CHANGED, CASE_DECIDED, Attachment, Caller, CaseChange, Event
from service.wire import read_json

_log = logging.getLogger(__name__)
_ATTEMPTS: Final = 5
_WAITING: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY})
# Why a line waits for a reviewer whatever is answered; the rules that are run again do not know of these.
_LASTING: Final = frozenset({"appeal", "update-other-member"})

_DONE: Final = "Received. The request was evaluated again; its answer says what came of it."
_KEPT: Final = "Received. A reviewer reads it."
_AGAIN: Final = "This was received before."


@dataclass(frozen=True, slots=True)
class _Arrived:
    """What was sent, when, by whom, and the bytes it came as; `digest` names their content."""

    sent: Sent
    body: bytes
    digest: str
    caller: Caller
    at: datetime


@dataclass(frozen=True, slots=True)
class Taken:
    """The OperationOutcome that says it was received, and the case that it belongs to."""

    answer: Json
    case_id: CaseId


@dataclass(frozen=True, slots=True)
class SubmitAttachment:
    """The use case; the same in both guide versions."""

    dependencies: PasDependencies

    async def __call__(self, body: bytes, caller: Caller) -> Taken:
        """Keeps what was sent. The same content again changes nothing.

        NotFound unless this client was asked for it under that control number, for that member.
        """
        given = self.dependencies
        document = read_message(body, given.settings)
        sent = read_sent(document, given.check, given.settings)
        arrived = _Arrived(sent, body, content_hash(document), caller, given.clock.now())
        for _ in range(_ATTEMPTS):
            try:
                return await self._take(arrived)
            except Conflict:
                _log.info("a case was changed while its information was taken", extra={"client": caller.client})
        raise Conflict("The case is being changed by others at this moment. Send the attachment again.")

    async def _take(self, arrived: _Arrived) -> Taken:
        given = self.dependencies
        case, asked = await self._find(arrived)
        kept = {attachment.id for attachment in await given.store.attachments(case.id)}
        # One row for each content and request: 64 digits of a hash.
        attachment_id = content_hash({"case": case.id, "sent": arrived.digest}).removeprefix("sha256:")
        if attachment_id in kept and (asked.answered_at is not None or not arrived.sent.final):
            return Taken(_answer(_AGAIN), case.id)
        if asked.sequence not in {line.determination.sequence for line in case.lines if _waits(line)}:
            raise BusinessRule("The line has been decided. Send a new request, or an update of this one.")
        if attachment_id not in kept:
            at, number = arrived.at, asked.control_number
            row = Attachment(attachment_id, case.id, number, asked.sequence, at, arrived.body)
            await given.store.attach(row)
        change = await self._evaluated(case, asked, arrived) if arrived.sent.answers else None
        saved = await given.store.save(change or self._noted(case, asked, arrived))
        _log.info("information was received", extra={"case": saved.id, "client": arrived.caller.client})
        return Taken(_answer(_DONE if change else _KEPT), case.id)

    async def _find(self, arrived: _Arrived) -> tuple[Case, InfoRequest]:
        """One refusal for all: who was not asked learns nothing about the number."""
        case = await self.dependencies.store.case_by_number(arrived.sent.control_number)
        if case is not None and case.client == arrived.caller.client and case.member == arrived.sent.member:
            for asked in case.asked:
                if asked.control_number == arrived.sent.control_number:
                    return case, asked
        raise NotFound("Nothing was asked of you for this member under this TrackingId.")

    def _noted(self, case: Case, asked: InfoRequest, arrived: _Arrived) -> CaseChange:
        """A document: no rule reads it. Nothing that the provider was told changes, so there is no event."""
        changed = _settled(case, asked, arrived)
        return CaseChange(changed, case.revision, self._record(case, arrived))

    async def _evaluated(self, case: Case, asked: InfoRequest, arrived: _Arrived) -> CaseChange | None:
        """The request with the answers added, decided anew where it waits."""
        given = self.dependencies
        stored = await given.store.case(case.id)
        if stored is None or stored[0].revision != case.revision:
            raise Conflict("The case changed while it was read.")
        bundle = _with_answers(bundle_of(read_json(stored[1], given.settings)), asked, arrived.sent, given.ids.new)
        received = receive(bundle, given.check)
        request = request_of(received, parties_of(received, given.settings.member_system))
        waiting = {line.determination.sequence for line in case.lines if _waits(line)}
        request = replace(request, lines=tuple(line for line in request.lines if line.sequence in waiting))
        if not request.lines:
            return None
        ruling = await determined(request, Receipt(arrived.at), given)
        found = {line.sequence: line for line in ruling.determination.lines}
        lines = tuple(_decided(line, found.get(line.determination.sequence), case) for line in case.lines)
        decided_at = given.clock.now()
        changed = replace(_settled(case, asked, arrived), lines=lines, decided_at=decided_at)
        changed = with_questions(changed, decided_at)
        kind = CASE_CHANGED if any(map(_waits, lines)) else CASE_DECIDED
        event = Event(given.ids.new(), kind, case.id, decided_at)
        record = determination_record(changed, ruling, content_hash(bundle), given.engine_version)
        # The rules decided as of now; a replay has to know.
        replayable = {**record, "received_at": arrived.at.isoformat()}
        return CaseChange(
            case=changed,
            expected=case.revision,
            audit={**replayable, "information": self._record(case, arrived)},
            events=(event,),
            request=encode(bundle),
        )

    def _record(self, case: Case, arrived: _Arrived) -> Mapping[str, Any]:
        return {
            "kind": "information-received",
            "case": case.id,
            "request_id": request_id.get(),
            "actor": arrived.caller.client,
            "control_number": arrived.sent.control_number,
            "input": arrived.digest,
            "at": arrived.at.isoformat(),
        }


def _waits(line: CaseLine) -> bool:
    return line.determination.outcome in _WAITING


def _settled(case: Case, asked: InfoRequest, arrived: _Arrived) -> Case:
    """The request is answered once the sender says that nothing more comes."""
    if not arrived.sent.final or asked.answered_at is not None:
        return case
    answered = replace(asked, answered_at=arrived.at)
    return replace(case, asked=tuple(answered if one is asked else one for one in case.asked))


def _decided(line: CaseLine, found: LineDetermination | None, case: Case) -> CaseLine:
    if found is None:
        # Its number was given when it was decided, not now.
        return replace(line, issued_at=line.issued_at or case.decided_at) if line.authorization_number else line
    for obstacle in line.determination.obstacles:
        if obstacle.code in _LASTING:
            found = held(found, obstacle)
    number = authorization_number(case.id) if found.outcome in GRANTED else None
    fresh = CaseLine(found, number, line.reference_number, carried=line.carried)
    return decided_again(line, fresh, case)


def _with_answers(bundle: Json, asked: InfoRequest, sent: Sent, new_id: Callable[[], str]) -> Json:
    """A copy of the request in which the line it is about points to the answers too."""
    changed = copy.deepcopy(bundle)
    claim = changed["entry"][0]["resource"]
    supporting = claim.setdefault("supportingInfo", [])
    used = [n for one in listed(claim, "supportingInfo") if (n := positive(one.get("sequence")))]
    sequence = max(used, default=0)
    category = {"coding": [{"system": PAS_TEMP_CODES, "code": "additionalInformation"}]}
    added = []
    for answers in sent.answers:
        sequence += 1
        full_url = f"urn:uuid:{new_id()}"
        changed["entry"].append({"fullUrl": full_url, "resource": answers})
        supporting.append({"sequence": sequence, "category": category, "valueReference": {"reference": full_url}})
        added.append(sequence)
    for item in listed(claim, "item"):
        # Without pointers, a line rests on all that is there.
        pointed = numbers(item, "informationSequence")
        if item.get("sequence") == asked.sequence and pointed:
            item["informationSequence"] = [*pointed, *added]
    return changed


def _answer(text: str) -> Json:
    return outcome(issue("information", "informational", text))
