"""Tells subscribers: spreads events among them, and sends what is due, until it arrives or is given up."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, cast

import httpx
from prometheus_client import CollectorRegistry, Counter, Gauge

from service.ehr.address import server_within
from service.errors import ServiceError
from service.fhir.build import Json
from service.fhir.canonical import PAS_RESPONSE_BUNDLE
from service.fhir.json import encode
from service.pas.codes import X12Codes
from service.pas.elements import object_of
from service.pas.filed import Filed, filed
from service.pas.notification import Notices, full_focus, id_focus
from service.pas.outbox import Outbox
from service.pas.response import answer_entries, collection
from service.pas.shape import Rendering, Shape, Version
from service.pas.subscription import CONTENT, has_ended, headers_of, reach_of, sender_names, wants
from service.ports import Clock, Delivery, Event, Ids, Store
from service.settings import Settings

# Longer than an attempt may take: only who died, or hangs, loses a lease.
_LEASE: Final = timedelta(seconds=60)
_AT_ONCE: Final = 16
_EVENTS: Final = 100
_BETWEEN_COUNTS: Final = timedelta(seconds=15)
_BETWEEN_CLEANINGS: Final = timedelta(hours=1)
_FORGOTTEN_AT_ONCE: Final = 500
_LONGEST_WAIT: Final = timedelta(hours=1)
_FHIR_JSON: Final = "application/fhir+json"

_log = logging.getLogger(__name__)


class Shapes(Protocol):
    """The guide versions that are spoken, by name."""

    def __getitem__(self, version: Version, /) -> Shape: ...


@dataclass(frozen=True, slots=True)
class NotifyDependencies:
    """`http` reaches only addresses that may be told (service.ehr.connection.open_http)."""

    settings: Settings
    store: Store
    outbox: Outbox
    codes: X12Codes
    shapes: Shapes
    clock: Clock
    ids: Ids
    http: httpx.AsyncClient


@dataclass(slots=True)
class _Figures:
    """What operators watch."""

    metrics: CollectorRegistry
    attempts: Counter = field(init=False)
    waiting: Gauge = field(init=False)
    in_error: Gauge = field(init=False)
    pended: Gauge = field(init=False)
    overdue: Gauge = field(init=False)

    def __post_init__(self) -> None:
        self.attempts = Counter(
            "notifications", "Notifications tried, by what came of it", ["result"], registry=self.metrics
        )
        self.waiting = Gauge("notifications_waiting", "Notifications that have not arrived", registry=self.metrics)
        self.in_error = Gauge("subscriptions_in_error", "Subscriptions given up", registry=self.metrics)
        self.pended = Gauge("cases_pended", "Cases that wait for a decision", registry=self.metrics)
        self.overdue = Gauge("cases_overdue", "Cases that wait beyond their deadline", registry=self.metrics)


class Notifier:
    """Runs beside the application in every process; the outbox's leases keep them apart."""

    def __init__(self, dependencies: NotifyDependencies, metrics: CollectorRegistry) -> None:
        self._given = dependencies
        self._figures = _Figures(metrics)
        self._woken = asyncio.Event()
        self._stopping = False
        self._counted: datetime | None = None
        self._forgot: datetime | None = None
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There may be something to do: look now instead of at the next turn."""
        self._woken.set()

    def stop(self) -> None:
        """Begin nothing more; what is on its way ends or loses its lease."""
        self._stopping = True
        self._woken.set()

    async def run(self) -> None:
        """Turn after turn until stopped; then waits for what is on its way."""
        while not self._stopping:
            try:
                await self.turn()
                await self._count_sometimes()
                await self._forget_sometimes()
            except ServiceError as failure:
                _log.error("notifications wait", extra={"reason": type(failure).__name__})
            await self._rest()
        await self.settled()

    async def turn(self) -> None:
        """Spread what happened, and begin to send what is due."""
        for event in await self._given.outbox.untold(_EVENTS):
            # In order; and one that cannot be told must not hold up the others.
            [failure] = await asyncio.gather(self._spread(event), return_exceptions=True)
            if failure is not None:
                _log.error("an event could not be spread", extra={"error": type(failure).__name__})
        free = _AT_ONCE - len(self._sending)
        if free > 0:
            now = self._given.clock.now()
            for delivery in await self._given.outbox.claim(now, now + _LEASE, free):
                sending = asyncio.create_task(self._tell(delivery))
                self._sending.add(sending)
                sending.add_done_callback(self._ended)

    async def settled(self) -> None:
        """Waits until nothing is on its way."""
        while self._sending:
            await asyncio.wait(self._sending)

    def _ended(self, sending: asyncio.Task[None]) -> None:
        self._sending.discard(sending)
        if not sending.cancelled() and (failure := sending.exception()) is not None:
            # Its lease ends, and it is tried again until the attempts are used up.
            _log.error("a notification failed", extra={"error": type(failure).__name__})
        self.wake()

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._given.settings.notify_seconds):
                await self._woken.wait()
        except TimeoutError:
            return
        finally:
            self._woken.clear()

    async def _count_sometimes(self) -> None:
        now = self._given.clock.now()
        if self._counted is None or now - self._counted >= _BETWEEN_COUNTS:
            self._counted = now
            await self.count()

    async def count(self) -> None:
        """Brings the gauges up to date."""
        tally = await self._given.outbox.tally()
        self._figures.waiting.set(tally.waiting)
        self._figures.in_error.set(tally.in_error)
        now = self._given.clock.now()
        cases = await self._given.store.open_cases()
        self._figures.pended.set(len(cases))
        self._figures.overdue.set(sum(case.due is not None and case.due < now for case in cases))

    async def _forget_sometimes(self) -> None:
        now = self._given.clock.now()
        if self._forgot is None or now - self._forgot >= _BETWEEN_CLEANINGS:
            self._forgot = now
            await self.forget()

    async def forget(self) -> None:
        """Forgets what is over for as long as the settings say."""
        before = self._given.clock.now() - timedelta(days=self._given.settings.notify_keep_days)
        while await self._given.outbox.forget(before, _FORGOTTEN_AT_ONCE) and not self._stopping:
            await asyncio.sleep(0)

    async def _spread(self, event: Event) -> None:
        """To the subscriptions of the client whose case it is, and nobody else's, that ask for its sender."""
        found = await self._given.store.case(event.case_id)
        if found is None:
            wanted = []
        else:
            case, request = found
            names = sender_names(filed(case, request, self._given.settings).received)
            now = self._given.clock.now()
            subscriptions = await self._given.outbox.subscriptions_of(case.client)
            wanted = [one.id for one in subscriptions if wants(one, names) and not has_ended(one, now)]
        await self._given.outbox.spread(event, wanted, self._given.clock.now())

    async def _tell(self, delivery: Delivery) -> None:
        # Counted when it was claimed: whoever died over it does not try for ever.
        if delivery.attempt > self._given.settings.notify_attempts:
            await self._give_up(delivery)
            return
        failure = await self._send(delivery)
        if failure is None:
            self._figures.attempts.labels("delivered").inc()
            await self._given.outbox.delivered(delivery, self._given.clock.now())
            return
        self._figures.attempts.labels("failed").inc()
        client = delivery.subscription.client
        _log.warning("a notification did not arrive", extra={"client": client, "reason": failure})
        if delivery.attempt >= self._given.settings.notify_attempts:
            await self._give_up(delivery)
        else:
            await self._given.outbox.postpone(delivery, self._given.clock.now() + self._pause(delivery.attempt))

    async def _give_up(self, delivery: Delivery) -> None:
        if await self._given.outbox.give_up(delivery, self._given.clock.now()):
            self._figures.attempts.labels("given-up").inc()
            _log.error("a subscription is in error", extra={"client": delivery.subscription.client})

    def _pause(self, attempt: int) -> timedelta:
        """Doubles with every attempt."""
        doubled: int = 2 ** min(attempt - 1, 20)
        return min(timedelta(seconds=self._given.settings.notify_retry_seconds * doubled), _LONGEST_WAIT)

    async def _send(self, delivery: Delivery) -> str | None:
        """Why it did not arrive, in our words; None when the subscriber took it."""
        channel = object_of(delivery.subscription.resource, "channel") or {}
        endpoint = str(channel.get("endpoint"))
        # Asked again: what was allowed when it was made may not be any more.
        reach = reach_of(delivery.subscription.client, self._given.settings)
        if server_within(endpoint, reach) is None:
            return "not-allowed"
        # The subscriber's headers last: theirs replace ours but for the type of the body.
        headers = [*headers_of(delivery.subscription.resource), ("Content-Type", _FHIR_JSON)]
        body = encode(await self._notification(delivery))
        try:
            async with asyncio.timeout(self._given.settings.notify_timeout_seconds):
                async with self._given.http.stream("POST", endpoint, content=body, headers=headers) as answer:
                    # Whatever it says beside its status is not read.
                    return None if answer.is_success else f"status-{answer.status_code}"
        except TimeoutError:
            return "timeout"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return type(error).__name__

    async def _notification(self, delivery: Delivery) -> Json:
        given, subscription = self._given, delivery.subscription
        version = cast(Version, subscription.guide_version)
        rendering = Rendering(given.settings, given.codes, given.shapes[version])
        notices = Notices(subscription, rendering, given.ids, given.clock.now())
        if delivery.event is None:
            return notices.handshake()
        found = await given.store.case(delivery.event.case_id)
        if found is None:
            raise LookupError("an event is about a case that is stored")
        focus = _focus(filed(*found, given.settings), delivery.event, rendering, version)
        return notices.event(delivery.number, delivery.event.at, focus)


def _focus(case: Filed, event: Event, rendering: Rendering, version: Version) -> Json:
    """The case as it is now, which is at least as new as the event."""
    full_url = rendering.own_url("ClaimResponse", case.case.id)
    if CONTENT[version] == "id-only":
        return id_focus(full_url, case.case.id)
    entries = answer_entries(case.case, case.received, rendering)
    bundle = collection(entries, profile=PAS_RESPONSE_BUNDLE, bundle_id=event.id, at=case.case.decided_at)
    return full_focus(rendering.own_url("Bundle", event.id), bundle)
