"""Claim/$submit: a request Bundle becomes a decided, stored case and its answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from service.determine.request import PriorAuthRequest, Receipt
from service.fhir.canonical import PAS_CLAIM_RESPONSE, PAS_RESPONSE_BUNDLE
from service.fhir.json import content_hash, encode
from service.log import request_id
from service.pas.dependencies import PasDependencies
from service.pas.filed import filed_for
from service.pas.intake import Received, bundle_of, receive
from service.pas.judge import determined, refusal, refused
from service.pas.links import Linked, link
from service.pas.numbers import authorization_number, reference_number
from service.pas.parties import parties_of
from service.pas.request import request_of
from service.pas.response import claim_response, collection, entries_with
from service.pas.shape import Rendering, Shape
from service.policy.case import Case, CaseId, CaseLine, ClientId
from service.policy.decision import Outcome
from service.policy.determination import LineDetermination, as_json
from service.ports import Acceptance, StoredReply
from service.wire import read_json

_log = logging.getLogger(__name__)
_GRANTED = frozenset({Outcome.APPROVED, Outcome.MODIFIED})


@dataclass(frozen=True, slots=True)
class Submission:
    """One arrival: who, when, the exact bytes and what identifies their content."""

    client: ClientId
    received_at: datetime
    body: bytes
    content_hash: str


@dataclass(frozen=True, slots=True)
class Submit:
    """The use case, in one guide version."""

    dependencies: PasDependencies
    shape: Shape

    async def __call__(self, body: bytes, client: ClientId) -> StoredReply:
        """Answer a request; only what is on disk is answered.

        The same client's identical content (Bundle.timestamp aside) gets its first answer again. ServiceErrors
        are of structure only; a failure to evaluate ends in a pended case.
        """
        received_at = self.dependencies.clock.now()
        bundle = bundle_of(read_json(body, self.dependencies.settings))
        # The guide version is part of the content: a 2.0.1 answer is no answer to a 2.2.1 request.
        hashed = content_hash({"guide": self.shape.version, "bundle": bundle}, without=("bundle.timestamp",))
        submission = Submission(client, received_at, body, hashed)
        first = await self.dependencies.store.reply_to(client, hashed)
        if first is not None:
            return first
        received = receive(bundle, self.dependencies.check)
        parties = parties_of(received, self.dependencies.settings.member_system)
        return await self._accept(submission, received, request_of(received, parties))

    async def _accept(self, submission: Submission, received: Received, request: PriorAuthRequest) -> StoredReply:
        case = await self._decide(submission, received, request)
        reply = StoredReply(case.id, 200, self._answer(case, received))
        accepted = await self.dependencies.store.accept(
            Acceptance(case, submission.content_hash, submission.body, reply, self._audit(case, submission))
        )
        extra = {"case": accepted.case_id, "client": submission.client, "decision": case.outcome.value}
        _log.info("a request was answered", extra=extra)
        return accepted

    async def _decide(self, submission: Submission, received: Received, request: PriorAuthRequest) -> Case:
        reject = refusal(request, self.dependencies)
        if reject is not None:
            # What is another payer's is filed under no member of ours.
            return self._case(submission, request, Linked(refused(request, reject), ()), refused=True)
        determination = await determined(request, Receipt(submission.received_at), self.dependencies)
        members = (request.member,) if request.member else ()
        earlier = await filed_for(self.dependencies.store, members, self.dependencies.settings)
        return self._case(submission, request, link(received, determination, earlier, submission.client))

    def _case(
        self, submission: Submission, request: PriorAuthRequest, linked: Linked, *, refused: bool = False
    ) -> Case:
        case_id = CaseId(self.dependencies.ids.new())
        starts = [line.serviced.start or request.created for line in request.lines]
        return Case(
            id=case_id,
            client=submission.client,
            guide_version=self.shape.version,
            received_at=submission.received_at,
            decided_at=self.dependencies.clock.now(),
            member=None if refused else request.member,
            providers=request.provider_npis,
            claim_identifiers=request.claim_identifiers,
            first_service=min(start.earliest() for start in starts),
            lines=tuple(_case_line(case_id, line) for line in linked.determination.lines),
            linked=linked.cases,
        )

    def _answer(self, case: Case, received: Received) -> bytes:
        rendering = Rendering(self.dependencies.settings, self.dependencies.codes, self.shape)
        response = claim_response(case, received, rendering, PAS_CLAIM_RESPONSE)
        entries = entries_with(response, received, rendering.own_url("ClaimResponse", case.id))
        bundle_id = self.dependencies.ids.new()
        return encode(collection(entries, profile=PAS_RESPONSE_BUNDLE, bundle_id=bundle_id, at=case.decided_at))

    def _audit(self, case: Case, submission: Submission) -> Mapping[str, Any]:
        """Who decided what, when, by which policy and engine, on which input (architecture 2.6)."""
        policies = {line.determination.policy for line in case.lines if line.determination.policy}
        return {
            "kind": "determination",
            "case": case.id,
            "request_id": request_id.get(),
            "client": case.client,
            "guide_version": case.guide_version,
            "input": submission.content_hash,
            "actor": "rules",
            "received_at": case.received_at.isoformat(),
            "decided_at": case.decided_at.isoformat(),
            "engine_version": self.dependencies.engine_version,
            "policies": sorted(f"{ref.id}|{ref.version}|{ref.digest}" for ref in policies),
            "linked": list(case.linked),
            "determination": as_json(case.determination),
        }


def _case_line(case_id: CaseId, line: LineDetermination) -> CaseLine:
    number = authorization_number(case_id) if line.outcome in _GRANTED else None
    return CaseLine(line, number, reference_number(case_id, line.sequence))
