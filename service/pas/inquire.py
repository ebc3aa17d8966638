"""Claim/$inquire: the cases that an inquiry shows, for those who may see them."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import NotFound
from service.fhir.build import Json, entry
from service.fhir.canonical import (
    PAS_CLAIM_INQUIRY_RESPONSE,
    PAS_CLAIM_RESPONSE,
    PAS_INQUIRY_RESPONSE_BUNDLE,
)
from service.fhir.outcome import issue, outcome
from service.pas.criteria import matches
from service.pas.dependencies import PasDependencies
from service.pas.elements import identifiers
from service.pas.filed import Filed, filed, filed_for
from service.pas.intake import Received, bundle_of, check_sequences, read_message, receive
from service.pas.parties import Parties, parties_of
from service.pas.prior import current_version
from service.pas.response import Naming, claim_response, collection, entries_with, rejection
from service.pas.shape import Rendering, Shape
from service.policy.case import CaseId
from service.ports import Caller


@dataclass(frozen=True, slots=True)
class Inquire:
    """The use case, in one guide version."""

    dependencies: PasDependencies
    shape: Shape

    @property
    def rendering(self) -> Rendering:
        return Rendering(self.dependencies.settings, self.dependencies.codes, self.shape)

    async def __call__(self, body: bytes, caller: Caller) -> Json:
        """The answer as the version wraps it: a Bundle (2.0.1) or Parameters (2.2.1)."""
        settings = self.dependencies.settings
        inquiry = receive(bundle_of(read_message(body, settings)), self.dependencies.check)
        check_sequences(inquiry.claim, "item")
        parties = parties_of(inquiry, settings.member_system)
        members = _members(parties)
        key = self._refusal(parties, members)
        if key is not None:
            return self._wrap([self._rejection(inquiry, key)])
        cases = await filed_for(self.dependencies.store, sorted(members), settings)
        visible = [found for found in cases if _may_see(caller, found, parties)]
        hits = [found for found in self._traced(visible, inquiry) if matches(inquiry, found, self.dependencies.codes)]
        return self._wrap([self._entries(found) for found in hits])

    async def read(self, case_id: str, caller: Caller) -> Json:
        """The current version of one case as ClaimResponse, to the client that has it; NotFound to everybody else."""
        store = self.dependencies.store
        found = await store.case(CaseId(case_id))
        if found is None or found[0].client != caller.client:
            raise NotFound("There is no such ClaimResponse. Ask with Claim/$inquire for what others submitted.")
        current = await current_version(found[0], store)
        stored = found if current.id == case_id else await store.case(current.id)
        case = filed(*(stored or found), self.dependencies.settings)
        return claim_response(case.case, case.received, self.rendering, PAS_CLAIM_RESPONSE)

    def _refusal(self, parties: Parties, members: frozenset[str]) -> str | None:
        settings = self.dependencies.settings
        if parties.insurer_ids and (settings.payer_id_system, settings.payer_id) not in parties.insurer_ids:
            return "wrong-payer"
        return None if members else "member-id-missing"

    def _rejection(self, inquiry: Received, key: str) -> list[Json]:
        naming = Naming(self.dependencies.ids.new(), self.dependencies.clock.now(), PAS_CLAIM_INQUIRY_RESPONSE)
        response = rejection(inquiry, self.dependencies.codes.rejects[key], self.rendering, naming)
        # It answers this inquiry only and is kept nowhere, so its address is no address of ours.
        return entries_with(response, inquiry, f"urn:uuid:{naming.id}")

    def _entries(self, found: Filed) -> list[Json]:
        response = claim_response(found.case, found.received, self.rendering, PAS_CLAIM_INQUIRY_RESPONSE)
        return entries_with(response, found.received, self.rendering.own_url("ClaimResponse", found.case.id))

    def _traced(self, cases: list[Filed], inquiry: Received) -> list[Filed]:
        """2.0.1: an inquiry that shows the Claim.identifier of a case means that case.

        An identifier that no case has is the inquiry's own trace number, which the profile demands of every
        inquiry, and narrows nothing.
        """
        if not self.shape.trace_matches:
            return cases
        shown = {f"{system or ''}|{value}" for _, system, value in identifiers(inquiry.claim)}
        meant = [found for found in cases if shown & found.claim_identifiers()]
        return meant or cases

    def _wrap(self, hits: list[list[Json]]) -> Json:
        now = self.dependencies.clock.now()

        def one(entries: list[Json]) -> Json:
            bundle_id = self.dependencies.ids.new()
            return collection(entries, profile=PAS_INQUIRY_RESPONSE_BUNDLE, bundle_id=bundle_id, at=now)

        nothing = outcome(issue("information", "not-found", "No prior authorization matches the inquiry."))
        return self.shape.inquiry_answer(hits, one, entry(f"urn:uuid:{self.dependencies.ids.new()}", nothing))


def _members(parties: Parties) -> frozenset[str]:
    """The member ids asked about: what Patient and Coverage agree on, or what one of them alone says."""
    if parties.patient_member_ids and parties.coverage_member_ids:
        return parties.patient_member_ids & parties.coverage_member_ids
    return parties.patient_member_ids | parties.coverage_member_ids


def _may_see(caller: Caller, found: Filed, parties: Parties) -> bool:
    """The client sees its own. Others need the member id (already matched) and the NPI of the ordering or
    rendering provider (PAS spec-52, spec-53), and one that they act for where we know for whom they act."""
    if found.case.client == caller.client:
        return True
    shared = found.case.providers & parties.provider_npis
    return bool(shared & caller.npis if caller.npis else shared)
