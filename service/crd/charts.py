"""The charts that the cards of one call are filled from: each policy's read once, and as early as it may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from typing import Final

from service.crd.answering import Call, Payer
from service.crd.cards import Advised
from service.crd.chart import ChartRecords, data_requirements
from service.crd.chart import chart as read_needed
from service.crd.chart_view import Chart, ChartView, ReadChart, at_hand, view_chart
from service.crd.configuration import CLAIM
from service.crd.hooks import HookCall
from service.crd.orders import order_of
from service.crd.prefetch import Records
from service.crd.reading import object_at, objects_at, text_at
from service.crd.scope import Concerned
from service.policy.model import Pathway, PolicyRef
from service.ports import EhrClient, LoadedPolicy, PolicyRegistry, Resource

_ORDERED: Final = frozenset({"MedicationRequest", "ServiceRequest"})


class Charts:
    """Reads of one patient's records, for the policies of one call."""

    def __init__(self, hook: HookCall, ehr: EhrClient | None) -> None:
        self._hook = hook
        self._ehr = ehr
        self._reading: dict[PolicyRef, asyncio.Task[ChartRecords]] = {}

    def begin(self, loaded: LoadedPolicy) -> None:
        """Asks the EHR for what the policy's logic reads; nothing without an EHR, or when it is asked already."""
        needs = data_requirements(loaded)
        if self._ehr is not None and needs and loaded.policy.ref not in self._reading:
            reading = asyncio.create_task(read_needed(self._hook, needs, self._ehr))
            self._reading[loaded.policy.ref] = reading

    async def records(self, loaded: LoadedPolicy, sent: Sequence[Resource], known: Records) -> tuple[Resource, ...]:
        """What came with the call and, where the EHR may be asked, what the policy's logic reads beside it.

        A chart with holes may say what the whole one does not: then only what was sent counts. One that was read
        whole and holds nothing says that every question is open.
        """
        self.begin(loaded)
        reading = self._reading.get(loaded.policy.ref)
        found = await reading if reading else None
        if found is None or found.unread:
            return tuple(sent)
        together: dict[str, Resource] = {}
        for record in (*sent, *known.all("Patient"), *found.records):
            together.setdefault(f"{record.get('resourceType')}/{record.get('id')}", record)
        return tuple(together.values())

    def end(self) -> None:
        """Nobody waits any longer."""
        for reading in self._reading.values():
            reading.cancel()


@asynccontextmanager
async def opened_charts(hook: HookCall, ehr: EhrClient | None) -> AsyncIterator[Charts]:
    """Reads that are not done at the end are given up."""
    charts = Charts(hook, ehr)
    try:
        yield charts
    finally:
        charts.end()


def begin_early(charts: Charts, hook: HookCall, records: Records, registry: PolicyRegistry, today: date) -> None:
    """Begins to read for the orders that say by themselves what they are for, and may be given a form.

    The EHR is being asked for other things at this time, so nobody waits twice. An order that refers to a
    Medication says nothing before that is read, and no chart is read without a policy that needs it.
    """
    if not hook.documents or not hook.configuration.wants(CLAIM):
        return
    for each in _drafts(hook):
        order = order_of(each, hook, records, today)
        match = None if order.doubt else registry.match(order.named, order.start)
        if match and match.revision:
            charts.begin(registry.loaded(match.revision))


def _drafts(hook: HookCall) -> Iterator[Concerned]:
    for entry in objects_at(hook.draft_orders, "entry"):
        resource = object_at(entry, "resource")
        if text_at(resource, "resourceType") in _ORDERED and text_at(resource, "id"):
            yield Concerned(resource, "")


async def with_charts(
    advised: Sequence[Advised], call: Call, payer: Payer, source: tuple[ReadChart | None, Charts]
) -> list[Advised]:
    """Each order that was given a form, with what the patient's records say about it; each form is read once.

    As they are where no card is wanted that would say it, or nothing reads charts.
    """
    read, charts = source
    if read is None or not call.hook.configuration.wants(CLAIM):
        return list(advised)
    sent = at_hand(call.hook, payer.check)
    views: dict[tuple[PolicyRef, Pathway], ChartView | None] = {}
    for each in advised:
        if each.pathway is not None and (each.policy.ref, each.pathway) not in views:
            loaded = payer.registry.loaded(each.policy)
            chart = Chart(await charts.records(loaded, sent, call.records), call.hook.patient_id)
            left = payer.settings.hook_seconds - (payer.clock.now() - call.now).total_seconds()
            views[each.policy.ref, each.pathway] = await view_chart(chart, loaded, each.pathway, read, left)
    return [
        replace(each, chart=views[each.policy.ref, each.pathway]) if each.pathway is not None else each
        for each in advised
    ]
