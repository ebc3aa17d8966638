"""Subscriptions and their notifier, put together: its routes, and the task that runs beside the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from fastapi import APIRouter
from prometheus_client import CollectorRegistry

from service.ehr.address import Reach
from service.ehr.connection import open_http
from service.pas import subscription_routes
from service.pas.dependencies import PasDependencies
from service.pas.notify import Notifier, NotifyDependencies
from service.pas.outbox import Outbox
from service.pas.routes import SHAPES
from service.pas.shape import Version
from service.pas.subscription_routes import SubscriptionDependencies

# A little more than one notification may take; what has not ended then is sent again by whoever runs next.
_LAST_WAIT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Notifications:
    """Of one process; the outbox is shared by all."""

    pas: PasDependencies
    outbox: Outbox
    notifier: Notifier
    http: httpx.AsyncClient

    def routes(self, version: Version) -> APIRouter:
        """Subscription, relative to the version's FHIR base."""
        given = self.pas
        dependencies = SubscriptionDependencies(
            settings=given.settings,
            outbox=self.outbox,
            codes=given.codes,
            clock=given.clock,
            ids=given.ids,
            access=given.access,
            check=given.check,
            wake=self.notifier.wake,
        )
        return subscription_routes.build(dependencies, SHAPES[version])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sends while the application runs; at its end, waits for what is on its way, not longer than it may take."""
        task = asyncio.create_task(self.notifier.run())
        try:
            yield
        finally:
            self.notifier.stop()
            await asyncio.wait({task}, timeout=self.pas.settings.notify_timeout_seconds + _LAST_WAIT)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.http.aclose()


def open_notifications(pas: PasDependencies, outbox: Outbox, metrics: CollectorRegistry) -> Notifications:
    """Reaches the hosts of the settings; in the demo this machine's own servers too."""
    settings = pas.settings
    # Which host a client may be told at is asked for each notification; this is about addresses.
    reach = Reach(frozenset(), settings.subscriber_private_addresses, settings.demo)
    http = open_http(reach, settings.notify_timeout_seconds)
    dependencies = NotifyDependencies(
        settings=settings,
        store=pas.store,
        outbox=outbox,
        codes=pas.codes,
        shapes=SHAPES,
        clock=pas.clock,
        ids=pas.ids,
        http=http,
    )
    return Notifications(pas, outbox, Notifier(dependencies, metrics), http)
