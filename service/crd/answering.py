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
    """What is looked up about an order."""

    order: Order
    identity: Identity
    match: Match | None


@dataclass(frozen=True, slots=True)
class _Looked:
    """What our own records say about an order; `failed` when they did not answer in time.

    `carried` are assertions to this client and about this coverage whose ids the order carries. `authorized` are the
    authorizations that earlier answers told of, by assertion id, for whatever coverage.
    """

    authorizations: Sequence[Authorization] = ()
    under_its_id: Assertion | None = None
    carried: Sequence[Assertion] = ()
    alike: Sequence[Assertion] = ()
    authorized: Mapping[str, str] = field(default_factory=dict)
    found: FoundMember = UNASKED
    failed: bool = False


async def answer_orders(orders: Sequence[Order], call: Call, payer: Payer) -> list[Answered]:
    """The answers, in the orders' order; no two of them have one assertion id."""
    sought = [_sought(order, call, payer) for order in orders]
    # All at once: what is on file about one order depends on no other.
    looked = await asyncio.gather(*(_look_up(each, call, payer) for each in sought))
    answered: list[Answered] = []
    for each, on_file in zip(sought, looked, strict=True):
        taken = frozenset(one.assertion.id for one in answered)
        answered.append(_answer(each, on_file, call, payer, taken))
    return answered


def _sought(order: Order, call: Call, payer: Payer) -> _Sought:
    match = payer.registry.match(order.named, order.start) if order.may_be_drug else None
    return _Sought(order, identity_of(order, match, call.hook.patient_id), match)


def _answer(sought: _Sought, looked: _Looked, call: Call, payer: Payer, taken: frozenset[str]) -> Answered:
    """The answer. `taken` are assertion ids that this call has given to other orders."""
    order, identity, match = sought.order, sought.identity, sought.match
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
    earlier = _earlier(sought, looked, call, taken)
    assertion_id = earlier.id if earlier else payer.ids.new()
    information = state(situation, assertion_id, payer.settings)
    annotation = Annotation(
        block=to_extension(information, call.hook.version),
        coverage=call.coverage.reference,
        our_ids=frozenset(a.id for a in looked.carried) | _elsewhere(looked.authorized, information.satisfied_pa_id),
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
        **({"orderRef": situation.order.reference} if situation.order.has_id else {}),
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
    order, client, store = sought.order, call.caller.client, payer.store
    content = "" if order.doubt or call.coverage.doubt else sought.identity.content
    try:
        async with asyncio.timeout(max(payer.settings.hook_seconds - elapsed, 0)):
            # Side by side: none needs another, and the user waits for the sum.
            under_its_id, alike, held, found, named = await asyncio.gather(
                store.assertion_for(client, sought.identity.key, call.coverage_key),
                store.assertions_alike(client, content, call.coverage_key, call.now - RENAMED_WITHIN),
                _held(sought, call, store),
                find_member(order, call.coverage, call.records, payer.members, call.today),
                asyncio.gather(*(store.assertion(one) for one in earlier_ids(order))),
            )
    except (TimeoutError, DeadlinePassed, StoreFailed):
        return _Looked(failed=True)
    # Authorizations belong to a member, so they count only where we believe who the member is.
    known = found.is_known(trusted=trusts_presented(payer.settings))
    made = [one for one in named if one and one.client == client]
    told = {one.id: one.shown.get("satisfied-pa-id") for one in made}
    return _Looked(
        authorizations=held if known else (),
        under_its_id=under_its_id,
        carried=[one for one in made if one.coverage_key == call.coverage_key],
        alike=alike,
        authorized={assertion_id: str(number) for assertion_id, number in told.items() if number},
        found=found,
    )


async def _held(sought: _Sought, call: Call, store: Store) -> Sequence[Authorization]:
    """What is on file for the policy and the member who is presented."""
    member = call.coverage.member
    return await store.authorizations(member, sought.match.policy_id) if sought.match and member else ()


def _elsewhere(authorized: Mapping[str, str], number: str | None) -> frozenset[str]:
    """Assertions that told of the same authorization under another Coverage.

    It is one insurance, whose Coverage has another id by now: the number may stand beside one of them only (CRD
    2.2.1 resp-32).
    """
    return frozenset(found for found, told in authorized.items() if told == number)


def _earlier(sought: _Sought, looked: _Looked, call: Call, taken: frozenset[str]) -> Assertion | None:
    """What was said about the order before: under its id, else under the id that it had then."""
    if looked.under_its_id:
        return looked.under_its_id if looked.under_its_id.id not in taken else None
    for assertion in looked.carried:
        if is_same_order(assertion, sought.order, sought.identity, call.references):
            return assertion if assertion.id not in taken else None
    if looked.carried:
        return None
    # One that carries none of our ids is known by what it asks for.
    return renamed(looked.alike, sought.order, call.references, taken)
