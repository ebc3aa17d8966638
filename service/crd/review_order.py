"""The use case of a hook: each order gets its coverage-information, and the cards that help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from service.crd.cards import Advised, cards
from service.crd.configuration import COVERAGE_INFO
from service.crd.coverage import PresentedCoverage, read_coverage, trusts_presented
from service.crd.extension import CrdVersion, to_extension
from service.crd.hooks import HookCall
from service.crd.orders import Order, read_orders
from service.crd.prefetch import Records, read_records
from service.crd.statement import Situation, requested_pathway, settling, state
from service.crd.system_actions import Annotation, earlier_ids, update_action
from service.errors import DeadlinePassed
from service.fhir.build import Json
from service.fhir.canonical import versioned
from service.fhir.json import content_hash
from service.fhir.parse import StructureCheck
from service.policy.case import Authorization, ClientId
from service.policy.match import Match
from service.policy.model import Pathway, Policy
from service.ports import Assertion, Clock, Ids, PolicyRegistry, Store
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


@dataclass(frozen=True, slots=True)
class _Looked:
    """What our own records say about an order; `failed` when they did not answer in time."""

    authorizations: Sequence[Authorization] = ()
    earlier: Assertion | None = None
    our_ids: frozenset[str] = frozenset()
    failed: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    """One call as read, with what is the same for all its orders."""

    hook: HookCall
    client: ClientId
    records: Records
    coverage: PresentedCoverage
    now: datetime

    @property
    def today(self) -> date:
        return self.now.date()

    @property
    def coverage_key(self) -> str:
        return content_hash({"coverage": self.coverage.reference, "member": self.coverage.member})


@dataclass(frozen=True, slots=True)
class _Answered:
    """One order's answer: the action (None when nothing is new), what to remember, and the policy behind it."""

    action: Json | None
    assertion: Assertion
    advised: Advised | None


async def review_orders(hook: HookCall, client: ClientId, payer: Payer) -> Json:
    """The CDS Hooks response. Assertions that it gives out are on disk when it returns (CRD 2.2.1 found-11)."""
    now = payer.clock.now()
    records = read_records(hook, payer.check)
    orders = _worth_an_answer(read_orders(hook, records, payer.check, now.date()), hook, payer.registry)
    if hook.about_encounter and not orders:
        return {"cards": []}
    call = _Call(hook, client, records, read_coverage(hook, records, payer.settings), now)
    answered = [await _answer(order, call, payer) for order in orders]
    actions = [answer.action for answer in answered if answer.action]
    wanted = hook.configuration.wants(COVERAGE_INFO)
    if wanted:
        await payer.store.save_assertions([answer.assertion for answer in answered if answer.action])
    advised = [answer.advised for answer in answered if answer.advised]
    response: Json = {"cards": cards(advised, hook, payer.settings, payer.registry, payer.ids)}
    # CDS Hooks 3.0 forbids empty lists other than `cards`; 2.0.1 clients want the key on every primary hook.
    if (wanted and actions) or (hook.primary and hook.version is CrdVersion.STU2):
        response["systemActions"] = actions if wanted else []
    return response


def _worth_an_answer(orders: Sequence[Order], hook: HookCall, registry: PolicyRegistry) -> Sequence[Order]:
    """On the encounter hooks, which need not answer, only orders that a policy has something to say about."""
    if not hook.about_encounter:
        return orders
    known = [order for order in orders if order.may_be_drug and not order.doubt]
    return [order for order in known if registry.match(order.named, order.start)]


async def _answer(order: Order, call: _Call, payer: Payer) -> _Answered:
    match = payer.registry.match(order.named, order.start) if order.may_be_drug else None
    order_key = _order_key(order, match, call)
    looked = await _look_up(order, order_key, match, call, payer)
    situation = Situation(
        order=order,
        coverage=call.coverage,
        match=match,
        authorizations=looked.authorizations,
        failed=looked.failed,
        documents=call.hook.documents,
        incomplete=call.records.incomplete,
        today=call.today,
    )
    assertion_id = looked.earlier.id if looked.earlier else payer.ids.new()
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
    policy = match.revision if match else None
    return _Answered(
        action=update_action(order, annotation),
        assertion=Assertion(
            id=assertion_id,
            client=call.client,
            order_key=order_key,
            coverage_key=call.coverage_key,
            order_reference=order.reference,
            coverage_reference=call.coverage.reference,
            policy_id=match.policy_id if match else None,
            # Kept from order-select on, where it may not be shown yet: the id leads to the form either way.
            questionnaire=versioned(pathway.questionnaire, pathway.questionnaire_version) if pathway else None,
            made_at=call.now,
            shown=information.shown(),
        ),
        advised=_advised(situation, policy, pathway if information.questionnaires else None) if policy else None,
    )


def _advised(situation: Situation, policy: Policy, pathway: Pathway | None) -> Advised:
    return Advised(situation.order.reference, policy, pathway, settling(situation))


def _order_key(order: Order, match: Match | None, call: _Call) -> str:
    """The same for one order from order-select to order-sign to re-sign, whatever status and dates become.

    A client may use an id again for another patient or another drug, so both are part of it.
    """
    codes = sorted(f"{code.system}|{code.code}" for code in order.named.codes)
    what = match.policy_id if match else (codes or sorted(order.named.names))
    return content_hash({"order": order.reference, "patient": call.hook.patient_id, "what": what})


async def _look_up(order: Order, order_key: str, match: Match | None, call: _Call, payer: Payer) -> _Looked:
    """What is on file, within the hook's time; when it runs out the answer says so (CRD 2.2.1 resp-43)."""
    elapsed = (payer.clock.now() - call.now).total_seconds()
    try:
        async with asyncio.timeout(max(payer.settings.hook_seconds - elapsed, 0)):
            earlier = await payer.store.assertion_for(call.client, order_key, call.coverage_key)
            carried = [await payer.store.assertion(found) for found in earlier_ids(order)]
            member = call.coverage.member
            held: Sequence[Authorization] = ()
            # Authorizations belong to a member, so they count only where we believe who the member is.
            if match and member and trusts_presented(payer.settings):
                held = await payer.store.authorizations(member, match.policy_id)
    except (TimeoutError, DeadlinePassed):
        return _Looked(failed=True)
    ours = {a.id for a in carried if a and (a.client, a.coverage_key) == (call.client, call.coverage_key)}
    return _Looked(held, earlier, frozenset(ours))
