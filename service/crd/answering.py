"""One order's answer: what is on file about it, what is said, and under which assertion id it is said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from service.crd.cards import Advised
from service.crd.coverage import PresentedCoverage, trusts_presented
from service.crd.coverage_information import CoverageInformation
from service.crd.extension import to_extension
from service.crd.hooks import HookCall
from service.crd.membership import UNASKED, FoundMember, find_member
from service.crd.orders import Order
from service.crd.prefetch import Records
from service.crd.statement import Situation, requested_pathway, settling, state
from service.crd.system_actions import Annotation, earlier_ids, update_action
from service.errors import DeadlinePassed, StoreFailed
from service.fhir.build import Json
from service.fhir.canonical import versioned
from service.fhir.json import content_hash, encode
from service.fhir.parse import StructureCheck
from service.policy.case import Authorization
from service.policy.match import Match
from service.ports import Assertion, Caller, Clock, EhrClients, Ids, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings

# What an order asks for. Its id, status and author may change on the way from draft to performer.
_CONTENT: Final = (
    "resourceType",
    "intent",
    "medicationCodeableConcept",
    "medicationReference",
    "code",
    "codeCodeableConcept",
    "dosageInstruction",
    "dispenseRequest",
    "quantityQuantity",
    "occurrenceDateTime",
    "occurrencePeriod",
    "occurrenceTiming",
    "serviceType",
    "start",
)


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
    ehr: EhrClients | None = None


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
        return content_hash({"coverage": self.coverage.reference, "member": self.coverage.member})


@dataclass(frozen=True, slots=True)
class Answered:
    """One order's answer: the action (None when nothing is new), what to remember, and the policy behind it."""

    order: Order
    information: CoverageInformation
    action: Json | None
    assertion: Assertion
    advised: Advised | None


@dataclass(frozen=True, slots=True)
class _Identity:
    """What an order is known by. `key` is its own reference with `about`, the patient and what is ordered.

    A client may use an id again for another patient or another drug, so both are part of it; status and dates are
    not, so it stays the same from order-select to order-sign to re-sign. `content` is what exactly is asked for.
    """

    key: str
    about: str
    content: str

    def shown(self) -> Json:
        return {"about": self.about, "content": self.content}


@dataclass(frozen=True, slots=True)
class _Looked:
    """What our own records say about an order; `failed` when they did not answer in time."""

    authorizations: Sequence[Authorization] = ()
    earlier: Assertion | None = None
    our_ids: frozenset[str] = frozenset()
    found: FoundMember = UNASKED
    failed: bool = False


async def answer_order(order: Order, call: Call, payer: Payer, taken: frozenset[str]) -> Answered:
    """The answer. `taken` are assertion ids that this call has given to other orders."""
    match = payer.registry.match(order.named, order.start) if order.may_be_drug else None
    identity = _identity(order, match, call)
    looked = await _look_up(order, identity, match, call, payer)
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
    earlier = looked.earlier if looked.earlier and looked.earlier.id not in taken else None
    assertion_id = earlier.id if earlier else payer.ids.new()
    information = state(situation, assertion_id, payer.settings)
    annotation = Annotation(
        block=to_extension(information, call.hook.version),
        coverage=call.coverage.reference,
        our_ids=looked.our_ids,
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
        policy=policy,
        pathway=pathway,
        held=settling(situation),
        launch=encode(launch).decode() if pathway and call.caller.smart_launch_card else None,
    )


def _identity(order: Order, match: Match | None, call: Call) -> _Identity:
    codes = sorted(f"{code.system}|{code.code}" for code in order.named.codes)
    what = match.policy_id if match else (codes or sorted(order.named.names))
    about = {"patient": call.hook.patient_id, "what": what}
    return _Identity(
        key=content_hash({"order": order.reference, **about}),
        about=content_hash(about),
        content=content_hash({name: order.resource.get(name) for name in _CONTENT}),
    )


async def _look_up(order: Order, identity: _Identity, match: Match | None, call: Call, payer: Payer) -> _Looked:
    """What is on file, within the hook's time; when it runs out the answer says so (CRD 2.2.1 resp-43)."""
    if call.failed:
        return _Looked(failed=True)
    elapsed = (payer.clock.now() - call.now).total_seconds()
    client = call.caller.client
    try:
        async with asyncio.timeout(max(payer.settings.hook_seconds - elapsed, 0)):
            earlier = await payer.store.assertion_for(client, identity.key, call.coverage_key)
            carried = [await payer.store.assertion(found) for found in earlier_ids(order)]
            found = await find_member(order, call.coverage, call.records, payer.members, call.today)
            member = call.coverage.member
            held: Sequence[Authorization] = ()
            # Authorizations belong to a member, so they count only where we believe who the member is.
            if match and member and found.is_known(trusted=trusts_presented(payer.settings)):
                held = await payer.store.authorizations(member, match.policy_id)
    except (TimeoutError, DeadlinePassed, StoreFailed):
        return _Looked(failed=True)
    ours = [a for a in carried if a and (a.client, a.coverage_key) == (client, call.coverage_key)]
    same = (assertion for assertion in ours if _is_same_order(assertion, order, identity, call))
    return _Looked(held, earlier or next(same, None), frozenset(a.id for a in ours), found)


def _is_same_order(assertion: Assertion, order: Order, identity: _Identity, call: Call) -> bool:
    """Whether an assertion that the order carries is about this order, which has another id by now.

    Clients give a signed order an id of its own and keep the extension (CRD 2.2.1 resp-46); a copy for a further
    treatment carries it too, but asks for something else, or stands beside the order that it was copied from.
    """
    known: Mapping[str, Any] = assertion.shown.get("order") or {}
    if known.get("about") != identity.about:
        return False
    if assertion.order_reference == order.reference:
        return True
    return assertion.order_reference not in call.references and known.get("content") == identity.content
