"""The use case of a hook: each order gets its coverage-information, and the cards that help."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.crd.answering import Answered, Call, Payer, answer_orders
from service.crd.cards import Advised, cards, unread_orders
from service.crd.chart_view import ReadChart
from service.crd.charts import begin_early, opened_charts, with_charts
from service.crd.configuration import CLAIM, COVERAGE_INFO
from service.crd.coverage import read_coverage
from service.crd.extension import CrdVersion
from service.crd.gather import gather, is_missing, needs_of, orders_unread, with_orders
from service.crd.hooks import HookCall
from service.crd.orders import Order, read_orders
from service.crd.prefetch import Records, read_records
from service.errors import StoreFailed
from service.fhir.build import Json
from service.ports import Caller, EhrClient, PolicyRegistry

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """The CDS Hooks response, and what it says about each order."""

    response: Json
    answered: tuple[Answered, ...] = ()


async def review_orders(
    hook: HookCall, caller: Caller, payer: Payer, ehr: EhrClient | None, read: ReadChart | None
) -> Reviewed:
    """The answer to a call. Assertions that it gives out are on disk when it returns (CRD 2.2.1 found-11).

    `ehr` is the client's FHIR server, None where nothing can be asked of it.
    """
    now = payer.clock.now()
    sent, needs = read_records(hook, payer.check), needs_of(hook)
    async with opened_charts(hook, ehr) as charts:
        if read is not None and ehr is not None and is_missing(hook, sent, needs, ehr):
            begin_early(charts, hook, sent, payer.registry, now.date())
        records = await gather(hook, sent, needs, ehr)
        hook = with_orders(hook, records)
        orders = _worth_an_answer(read_orders(hook, records, payer.check, now.date()), hook, payer.registry)
        if hook.about_encounter and not orders:
            return Reviewed({"cards": _cards((), hook, records, payer)})
        coverage = read_coverage(hook, records, payer.settings)
        call = Call(hook, caller, records, coverage, frozenset(order.reference for order in orders), now)
        given = await answer_orders(orders, call, payer)
        # Side by side: the user waits for both, and neither needs the other.
        answered, advised = await asyncio.gather(
            _remembered(given, orders, call, payer),
            with_charts(_advised(given), call, payer, (read, charts)),
        )
    if answered is not given:
        advised = _advised(answered)
    return Reviewed(_response(answered, _cards(advised, hook, records, payer), hook), tuple(answered))


def _response(answered: Sequence[Answered], given: list[Json], hook: HookCall) -> Json:
    response: Json = {"cards": given}
    wanted = hook.configuration.wants(COVERAGE_INFO)
    actions = [answer.action for answer in answered if answer.action]
    # CDS Hooks 3.0 forbids empty lists other than `cards`; 2.0.1 clients want the key on every primary hook.
    if (wanted and actions) or (hook.primary and hook.version is CrdVersion.STU2):
        response["systemActions"] = actions if wanted else []
    return response


def _cards(advised: Sequence[Advised], hook: HookCall, records: Records, payer: Payer) -> list[Json]:
    given = cards(advised, hook, payer.settings, payer.registry, payer.ids)
    if hook.about_encounter and orders_unread(records):
        given += unread_orders(hook, payer.settings, payer.ids)
    return given[: hook.configuration.max_cards]


def _advised(answered: Sequence[Answered]) -> list[Advised]:
    return [answer.advised for answer in answered if answer.advised]


async def _remembered(answered: list[Answered], orders: Sequence[Order], call: Call, payer: Payer) -> list[Answered]:
    """The answers, on disk; where that fails, answers that promise nothing (CRD 2.2.1 resp-43).

    Kept is what leaves: an assertion id does with coverage-information and with a SMART card, and leads to the form.
    """
    wants = call.hook.configuration.wants
    if not (wants(COVERAGE_INFO) or (call.caller.smart_launch_card and wants(CLAIM))):
        return answered
    try:
        await payer.store.save_assertions([answer.assertion for answer in answered if answer.action])
    except StoreFailed:
        _LOG.error("assertions could not be kept, so the orders were told that nothing can be said now")
        return await answer_orders(orders, replace(call, failed=True), payer)
    return answered


def _worth_an_answer(orders: Sequence[Order], hook: HookCall, registry: PolicyRegistry) -> Sequence[Order]:
    """On the encounter hooks, which need not answer, only orders that a policy has something to say about."""
    if not hook.about_encounter:
        return orders
    known = [order for order in orders if order.may_be_drug and not order.doubt]
    return [order for order in known if registry.match(order.named, order.start)]
