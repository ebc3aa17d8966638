"""Claim/$submit: a request Bundle becomes a decided, stored case and its answer."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Final

from service.errors import Conflict, InvalidResource
from service.fhir.canonical import PAS_RESPONSE_BUNDLE
from service.fhir.json import content_hash, encode
from service.pas.assertions import assertion_record, carried_assertions, with_assertions
from service.pas.decide import Arrival, Decided, decide_request
from service.pas.dependencies import PasDependencies
from service.pas.intake import Received, bundle_of, read_message, receive
from service.pas.parties import parties_of
from service.pas.records import determination_record
from service.pas.request import request_of
from service.pas.response import answer_entries, collection
from service.pas.shape import Rendering, Shape
from service.pas.strict import profile_faults
from service.pas.strict_bundle import bundle_faults, update_faults
from service.pas.submission import Submission
from service.policy.case import Case, ClientId
from service.ports import CASE_CHANGED, Acceptance, CaseChange, Event, StoredReply

_log = logging.getLogger(__name__)
_PLACES_LOGGED: Final = 30
_ATTEMPTS: Final = 5
"""How often a change is decided anew because somebody else changed the same case in between."""


@dataclass(frozen=True, slots=True)
class Submit:
    """The use case, in one guide version."""

    dependencies: PasDependencies
    shape: Shape

    async def __call__(self, body: bytes, client: ClientId, *, strict: bool = False) -> StoredReply:
        """Answer a request; only what is on disk is answered.

        The same client's identical content (Bundle.timestamp aside) gets its first answer again. ServiceErrors
        are of structure only; a failure to evaluate ends in a pended case. From a `strict` partner every departure
        from the profiles is InvalidResource; from others what answering does not need may be absent (trap 14).
        """
        received_at = self.dependencies.clock.now()
        bundle = bundle_of(read_message(body, self.dependencies.settings))
        # The guide version is part of the content: a 2.0.1 answer is no answer to a 2.2.1 request.
        hashed = content_hash({"guide": self.shape.version, "bundle": bundle}, without=("bundle.timestamp",))
        submission = Submission(client, received_at, body, hashed)
        first = await self.dependencies.store.reply_to(client, hashed)
        if first is not None:
            return first
        received = receive(bundle, self.dependencies.check)
        self._compare_with_profile(received, client, strict=strict)
        parties = parties_of(received, self.dependencies.settings.member_system)
        arrival = Arrival(submission, received, request_of(received, parties), self.shape.version)
        for _ in range(_ATTEMPTS):
            try:
                return await self._accept(arrival)
            except Conflict:
                _log.info("a case was changed while a change of it was decided", extra={"client": client})
        raise Conflict("The case is being changed by others at this moment. Send the request again.")

    def _compare_with_profile(self, received: Received, client: ClientId, *, strict: bool) -> None:
        faults = (
            *profile_faults(received, self.shape.version),
            *bundle_faults(received),
            *update_faults(received, self.shape.version, self.dependencies.codes),
        )
        if not faults:
            return
        places = tuple(fault.expression for fault in faults)
        if strict:
            text = f"{places[0]} {faults[0].problem}. Your requests are taken only as the PAS profiles have them."
            raise InvalidResource(text, expression=places, faults=faults)
        _log.info(
            "a request departs from the profiles",
            extra={"client": client, "reason": " ".join(places[:_PLACES_LOGGED])},
        )

    async def _accept(self, arrival: Arrival) -> StoredReply:
        """Conflict when the case that is changed has changed since it was read: then nothing is stored."""
        decided = await decide_request(arrival, self.dependencies)
        submission = arrival.submission
        carried = await carried_assertions(arrival.request, submission.client, self.dependencies.store)
        case = with_assertions(decided.case, carried)
        reply = StoredReply(case.id, 200, self._answer(case, arrival.received))
        acceptance = Acceptance(
            case=case,
            content_hash=submission.content_hash,
            request=submission.body,
            reply=reply,
            audit={
                **determination_record(
                    case, decided.ruling, submission.content_hash, self.dependencies.engine_version
                ),
                "assertions": assertion_record(case, carried),
            },
            events=self._events(decided),
            replaced=_taken_over(decided),
        )
        accepted = await self.dependencies.store.accept(acceptance)
        extra = {"case": accepted.case_id, "client": submission.client, "decision": case.outcome.value}
        _log.info("a request was answered", extra=extra)
        return accepted

    def _events(self, decided: Decided) -> tuple[Event, ...]:
        """Who asked is told by the answer; a change is news to everybody else who follows the case (spec-60)."""
        if decided.prior is None:
            return ()
        event_id = self.dependencies.ids.new()
        return (Event(event_id, CASE_CHANGED, decided.case.id, decided.case.decided_at),)

    def _answer(self, case: Case, received: Received) -> bytes:
        rendering = Rendering(self.dependencies.settings, self.dependencies.codes, self.shape)
        entries = answer_entries(case, received, rendering)
        bundle_id = self.dependencies.ids.new()
        return encode(collection(entries, profile=PAS_RESPONSE_BUNDLE, bundle_id=bundle_id, at=case.decided_at))


def _taken_over(decided: Decided) -> CaseChange | None:
    """The change to the case that the new one replaces."""
    prior = decided.prior
    if prior is None:
        return None
    replaced = replace(prior, replaced_by=decided.case.id)
    audit = {"kind": "replaced", "case": prior.id, "by": decided.case.id, "actor": "rules"}
    return CaseChange(replaced, prior.revision, audit)
