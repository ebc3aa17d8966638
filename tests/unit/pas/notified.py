"""A payer that notifies: its Subscription routes, its outbox, and one notifier that works when it is told to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from service.ehr.connection import open_http
from service.errors import ServiceError
from service.fhir.outcome import answer_for, operation_outcome
from service.pas.notify import Notifier, NotifyDependencies
from service.pas.routes import SHAPES
from service.pas.shape import Version
from service.pas.subscription import reach_of
from service.pas.subscription_routes import SubscriptionDependencies, build
from service.policy.case import CaseId
from service.ports import CASE_CHANGED, CaseChange, Event
from service.settings import Settings
from service.store.sql import SqlStore
from service.wire import fhir_response
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import CLINIC, Payer, response_of

Json = dict[str, Any]
TOPIC = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-"
BASES: dict[Version, str] = {"2.2.1": "/fhir", "2.0.1": "/2.0.1/fhir"}
CONTENTS: dict[Version, str] = {"2.2.1": "full-resource", "2.0.1": "id-only"}


def subscription(endpoint: str, version: Version = "2.2.1", *filters: str, **channel: Any) -> Json:
    criteria = [{"url": BACKPORT + "filter-criteria", "valueString": one} for one in filters or FILTER]
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "to be told",
        "criteria": TOPIC,
        "_criteria": {"extension": criteria},
        "channel": {
            "type": "rest-hook",
            "endpoint": endpoint,
            "payload": "application/fhir+json",
            "_payload": {"extension": [{"url": BACKPORT + "payload-content", "valueCode": CONTENTS[version]}]},
            **channel,
        },
    }


FILTER = ("org-identifier=1245319599",)


class Notified:
    """A payer with an outbox, its Subscription routes, and one notifier that works when it is told to."""

    def __init__(self, payer: Payer, store: SqlStore, settings: Settings) -> None:
        payer.dependencies = replace(payer.dependencies, store=store)
        self.payer, self.store, self.settings = payer, store, settings
        self.metrics = CollectorRegistry()
        self.woken: list[list[str]] = []
        self.http = open_http(reach_of(CLINIC, settings), settings.notify_timeout_seconds)
        given = payer.dependencies
        self.notifier = Notifier(
            NotifyDependencies(
                settings, store, store.outbox(), given.codes, SHAPES, given.clock, given.ids, self.http
            ),
            self.metrics,
        )
        self.app = self._app()

    def _app(self) -> FastAPI:
        app = FastAPI()
        given = self.payer.dependencies
        dependencies = SubscriptionDependencies(
            self.settings,
            self.store.outbox(),
            given.codes,
            given.clock,
            given.ids,
            given.access,
            given.check,
            self._wake,
        )
        for version, base in BASES.items():
            app.include_router(build(dependencies, SHAPES[version]), prefix=base)

        async def refuse(request: Request, error: Exception) -> Response:
            return fhir_response(operation_outcome(error), answer_for(error).status)

        app.add_exception_handler(ServiceError, refuse)
        return app

    def _wake(self) -> None:
        self.woken.append([])

    async def call(self, method: str, path: str, body: Json | None = None, client: str = "clinic") -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app), base_url="https://payer.example.org"
        ) as http:
            return await http.request(method, path, json=body, headers={"x-client": client})

    async def subscribe(self, body: Json, version: Version = "2.2.1") -> str:
        answer = await self.call("POST", f"{BASES[version]}/Subscription", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def status(self, subscription_id: str) -> str | None:
        found = await self.store.outbox().subscription(subscription_id)
        return None if found is None else found.status

    async def pended(self, client: str = "clinic") -> CaseId:
        """A new pended case."""
        answer = await self.payer.submit(b.bundle({b.RESPONSE: b.response({})}), client=client)
        return CaseId(response_of(answer)["id"])

    async def changed(self, case_id: CaseId, event_id: str) -> None:
        found = await self.store.case(case_id)
        assert found is not None
        event = Event(event_id, CASE_CHANGED, case_id, self.payer.clock.now())
        await self.store.save(CaseChange(found[0], found[0].revision, {"kind": "test"}, (event,)))

    async def tell(self, turns: int = 1) -> None:
        for _ in range(turns):
            await self.notifier.turn()
            await self.notifier.settled()

    def figure(self, name: str, **labels: str) -> float | None:
        return self.metrics.get_sample_value(name, labels)


Make = Callable[..., Notified]
