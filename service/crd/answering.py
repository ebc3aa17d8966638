"""One order's answer: what is on file about it, what is said, and under which assertion id it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from service.crd.cards import Advised
from service.crd.coverage import PresentedCoverage, trusts_presented
from service.crd.coverage_information import CoverageInformation
from service.crd.extension import to_extension
from service.crd.hooks import HookCall
from service.crd.identity import RENAMED_WITHIN, Identity, identity_of, is_same_order, renamed
from service.crd.membership import UNASKED, FoundMember, find_member
from service.crd.orders import Order
from service.crd.prefetch import Records
from service.crd.statement import Situation, requested_pathway, settling, state
from service.crd.system_actions import Annotation, earlier_ids, update_action
from service.determine.asserted import coverage_key
from service.errors import DeadlinePassed, StoreFailed
from service.fhir.build import Json
from service.fhir.canonical import versioned
from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.policy.case import Authorization
from service.policy.match import Match
from service.ports import Assertion, Caller, Clock, Ids, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings


@dataclass(frozen=True, slots=True)
class Payer:
    """The payer's side: its rules, its records, and how it reads."""

    settings: Settings
    registry: PolicyRegistry
    store: Store
    clock: Clock
    ids: Ids
    check: StructureCheck
    members: MemberDirectory | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call as read, with what is the same for all its orders; `references` are theirs.

    `failed` says that our own records cannot be reached, so nothing is looked up and nothing can be promised.
    """

    hook: HookCall
    caller: Caller
    records: Records
    coverage: PresentedCoverage
    references: frozenset[str]
    now: datetime
    failed: bool = False

    @property
    def today(self) -> date:
        return self.now.date()

    @property
    def coverage_key(self) -> str:
        return coverage_key(self.coverage.reference, self.coverage.member)


@dataclass(frozen=True, slots=True)
class Answered:
    """One order's answer: the action (None when nothing is new), what to remember, and the policy behind it."""

    order: Order
    information: CoverageInformation
    action: Json | None
    assertion: Assertion
    advised: Advised | None


@dataclass(frozen=True, slots=True)
class _Sought:
    """What is looked up about an order; `taken` are assertion ids that this call has given to other orders."""

    order: Order
    identity: Identity
    match: Match | None
    taken: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Looked:
    """What our own records say about an order; `failed` when they did not answer in time.

    `authorized` are the authorizations that earlier answers told of, by assertion id, for whatever coverage.
    """

    authorizations: Sequence[Authorization] = ()
    earlier: Assertion | None = None
    our_ids: frozenset[str] = frozenset()
    authorized: Mapping[str, str] = field(default_factory=dict)
    found: FoundMember = UNASKED
    failed: bool = False


async def answer_order(order: Order, call: Call, payer: Payer, taken: frozenset[str]) -> Answered:
    """The answer. `taken` are assertion ids that this call has given to other orders."""
    match = payer.registry.match(order.named, order.start) if order.may_be_drug else None
    identity = identity_of(order, match, call.hook.patient_id)
    looked = await _look_up(_Sought(order, identity, match, taken), call, payer)
    situation = Situation(
        order=order,
        coverage=call.coverage,
        match=match,
        authorizations=looked.authorizations,
        failed=looked.failed,
        documents=call.hook.documents,
        incomplete=call.records.incomplete,
        today=call.today,
        verdict=looked.found.verdict,
        member_today=looked.found.today,
        unread=call.records.unread,
        unread_text=call.records.unread_text,
    )
    earlier = looked.earlier
    assertion_id = earlier.id if earlier else payer.ids.new()
    information = state(situation, assertion_id, payer.settings)
    annotation = Annotation(
        block=to_extension(information, call.hook.version),
        coverage=call.coverage.reference,
        our_ids=looked.our_ids | _elsewhere(looked.authorized, information.satisfied_pa_id),
        complete=call.hook.documents,
        today=call.today,
        valid_days=payer.settings.response_max_age_days,
    )
    pathway = requested_pathway(situation)
    assertion = Assertion(
        id=assertion_id,
        client=call.caller.client,
        order_key=earlier.order_key if earlier else identity.key,
        coverage_key=call.coverage_key,
        order_reference=order.reference,
        coverage_reference=call.coverage.reference,
        policy_id=match.policy_id if match else None,
        # Kept from order-select on, where it may not be shown yet: the id leads to the form either way.
        questionnaire=versioned(pathway.questionnaire, pathway.questionnaire_version) if pathway else None,
        made_at=call.now,
        shown={**information.shown(), "order": identity.shown()},
        content_key=identity.content,
    )
    advised = _advised(situation, information, call)
    return Answered(order, information, update_action(order, annotation), assertion, advised)


def _advised(situation: Situation, information: CoverageInformation, call: Call) -> Advised | None:
    policy = situation.match.revision if situation.match else None
    if policy is None:
        return None
    pathway = requested_pathway(situation) if information.questionnaires else None
    # The keys that SMART launchers of CRD clients read (crd.md 1.7).
    launch = {
        "orderRef": situation.order.reference,
        "coverageRef": situation.coverage.reference,
        "coverageAssertionId": information.assertion.id,
        "questionnaire": list(information.questionnaires),
    }
    return Advised(
        reference=situation.order.reference,
        start=situation.order.start,
        policy=policy,
        pathway=pathway,
        held=settling(situation),
        launch=encode(launch).decode() if pathway and call.caller.smart_launch_card else None,
    )


async def _look_up(sought: _Sought, call: Call, payer: Payer) -> _Looked:
    """What is on file, within the hook's time; when it runs out the answer says so (CRD 2.2.1 resp-43)."""
    if call.failed:
        return _Looked(failed=True)
    elapsed = (payer.clock.now() - call.now).total_seconds()
    order, match, client = sought.order, sought.match, call.caller.client
    try:
        async with asyncio.timeout(max(payer.settings.hook_seconds - elapsed, 0)):
            carried = [await payer.store.assertion(found) for found in earlier_ids(order)]
            ours = [a for a in carried if a and (a.client, a.coverage_key) == (client, call.coverage_key)]
            # Side by side: neither needs the other, and the user waits for the sum.
            earlier, found = await asyncio.gather(
                _earlier(sought, ours, call, payer.store),
                find_member(order, call.coverage, call.records, payer.members, call.today),
            )
            member = call.coverage.member
            held: Sequence[Authorization] = ()
            # Authorizations belong to a member, so they count only where we believe who the member is.
            if match and member and found.is_known(trusted=trusts_presented(payer.settings)):
                held = await payer.store.authorizations(member, match.policy_id)
    except (TimeoutError, DeadlinePassed, StoreFailed):
        return _Looked(failed=True)
    told = {a.id: a.shown.get("satisfied-pa-id") for a in carried if a and a.client == client}
    authorized = {assertion_id: str(number) for assertion_id, number in told.items() if number}
    return _Looked(held, earlier, frozenset(a.id for a in ours), authorized, found)


def _elsewhere(authorized: Mapping[str, str], number: str | None) -> frozenset[str]:
    """Assertions that told of the same authorization under another Coverage.

    It is one insurance, whose Coverage has another id by now: the number may stand beside one of them only (CRD
    2.2.1 resp-32).
    """
    return frozenset(found for found, told in authorized.items() if told == number)


async def _earlier(sought: _Sought, carried: Sequence[Assertion], call: Call, store: Store) -> Assertion | None:
    """What was said about the order before: under its id, else under the id that it had then.

    `carried` are assertions to this client and about this coverage whose ids the order carries. One that carries
    none is known by what it asks for.
    """
    order, identity, client = sought.order, sought.identity, call.caller.client
    under_its_id = await store.assertion_for(client, identity.key, call.coverage_key)
    if under_its_id:
        return under_its_id if under_its_id.id not in sought.taken else None
    for assertion in carried:
        if is_same_order(assertion, order, identity, call.references):
            return assertion if assertion.id not in sought.taken else None
    if carried or order.doubt or call.coverage.doubt:
        return None
    since = call.now - RENAMED_WITHIN
    alike = await store.assertions_alike(client, identity.content, call.coverage_key, since)
    return renamed(alike, order, call.references, sought.taken)
