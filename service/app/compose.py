"""create_app: the only place that knows every concrete adapter."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware

from service.access.assemble import Access, open_access
from service.access.development import DEMO
from service.app import answers, capability, home, operations
from service.app.chart_reader import ChartReader
from service.app.notifications import open_notifications
from service.app.parts import Rules, build_rules, database_url
from service.crd import routes as crd
from service.demo import routes as demo
from service.demo.smart import CLIENT_ID, Authorization
from service.dtr import routes as dtr
from service.dtr.app.assemble import open_app
from service.dtr.populate import Chart, ChartLogic, populate
from service.ehr.app_key import new_key
from service.ehr.client import open_ehr_clients
from service.ehr.issuers import Issuer, Registrations, load_registrations, registrations
from service.engine.prepare import prepare
from service.errors import NotFound
from service.fhir.canonical import split_canonical
from service.pas import routes as pas
from service.pas.codes import load_codes
from service.pas.deadlines import load_deadlines
from service.pas.dependencies import PasDependencies
from service.policy.finding import Evidence
from service.ports import Clock, Ids, RandomIds, Resource, SystemClock
from service.review import routes as review
from service.review.passwords import Passwords
from service.settings import Settings
from service.store.sql import SqlStore, open_store

NEWEST: Final = "/fhir"
PREVIOUS: Final = "/2.0.1/fhir"
_HTTP_SECONDS: Final = 5.0

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings, data: Path, *, clock: Clock | None = None, ids: Ids | None = None, rules: Rules | None = None
) -> FastAPI:
    """The whole service. Opens the store (a SQLite file in `data` unless a database is set) and loads the policies.

    Raises InvalidPolicy when a policy, the client file or the database URL is not usable.
    """
    clock, ids = clock or SystemClock(), ids or RandomIds()
    if settings.demo:
        settings = settings.model_copy(update={"trust_presented_coverage": True})
    rules = rules or build_rules(settings, trusts_coverage=settings.trust_presented_coverage)
    store = open_store(database_url(settings, data), clock)
    outward = httpx.AsyncClient(timeout=_HTTP_SECONDS, follow_redirects=False)
    access = open_access(settings, store, outward, clock)
    parts = _Parts(rules, store, access, clock, ids)
    app = FastAPI(
        title="Prior authorization", docs_url=None, redoc_url=None, openapi_url=None, lifespan=parts.lifespan(outward)
    )
    answers.install_errors(app)
    _include(app, parts, parts.metrics)
    parts.include_dtr_app(app)
    if settings.demo:
        parts.include_demo(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "OPTIONS"],
            allow_headers=["Authorization", "Content-Type"],
        )
    app.add_middleware(answers.Calls, ids=ids, metrics=parts.metrics)
    return app


class _Parts:
    """What the routers are given, while they are put together."""

    def __init__(self, rules: Rules, store: SqlStore, access: Access, clock: Clock, ids: Ids) -> None:
        self.rules = rules
        self.settings = rules.settings
        self.store = store
        # The demo loads none, and asks none that a database may hold: its patients are made up (contract.md).
        self.members = None if rules.settings.demo else store.members()
        self.access = access
        self.ehr = open_ehr_clients(rules.settings, rules.check)
        self.clock = clock
        self.ids = ids
        self.metrics = CollectorRegistry()
        # Clients that reach this very process, and those of launches' EHRs.
        self.own: list[httpx.AsyncClient] = []
        self.registered = _registered(rules.settings)
        self.notifications = open_notifications(self.pas(), store.outbox(), self.metrics)

    def lifespan(self, outward: httpx.AsyncClient) -> Any:
        @asynccontextmanager
        async def run(_app: FastAPI) -> AsyncIterator[None]:
            for loaded in self.rules.registry.all():
                await self.rules.engine.warm(loaded.logic)
            # Before the first case is decided by them: each can be decided again, whatever becomes of the files.
            await self.store.policy_revisions().keep(self.rules.registry.archives, self.clock.now())
            if self.settings.trust_presented_coverage and not self.settings.demo:
                _log.warning("THE PRESENTED COVERAGE IS BELIEVED WHERE NO MEMBER DIRECTORY IS LOADED")
            if self.settings.demo:
                _log.warning("DEVELOPMENT ACCESS IS ON: CALLERS ON THIS MACHINE NEED NO TOKEN. NO REAL PATIENTS")
            # A full collection over a large, unchanging heap is what makes the slowest answers slow.
            gc.collect()
            gc.freeze()
            async with self.notifications.running():
                yield
            for client in self.own:
                await client.aclose()
            await outward.aclose()
            await self.ehr.close()
            self.rules.engine.close()
            await self.store.close()

        return run

    def crd(self) -> crd.CrdDependencies:
        return crd.CrdDependencies(
            settings=self.settings,
            registry=self.rules.registry,
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            access=self.access.hooks,
            check=self.rules.check,
            members=self.members,
            read_chart=ChartReader(self.rules.engine, self.clock),
            ehr=self.ehr,
        )

    def dtr(self) -> dtr.DtrDependencies:
        return dtr.DtrDependencies(
            settings=self.settings,
            registry=self.rules.registry,
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            access=self.access.fhir,
            check=self.rules.check,
            evaluator=self.rules.engine,
            prepare=prepare,
            form_errors=self.store.form_errors(),
            members=self.members,
        )

    def pas(self) -> PasDependencies:
        return PasDependencies(
            settings=self.settings,
            registry=self.rules.registry,
            determiner=self.rules.determiner,
            store=self.store,
            clock=self.clock,
            ids=self.ids,
            access=self.access.fhir,
            check=self.rules.check,
            codes=load_codes(self.settings.x12_codes),
            members=self.members,
            deadlines=load_deadlines(self.settings.due_hours),
        )

    def review(self) -> review.ReviewDependencies:
        return review.ReviewDependencies(
            settings=self.settings,
            registry=self.rules.registry,
            store=self.store,
            reviewers=self.store.reviewers(),
            passwords=Passwords(),
            clock=self.clock,
            ids=self.ids,
        )

    def include_dtr_app(self, app: FastAPI) -> None:
        """The SMART app sends requests by HTTP, in this process, like any provider's software."""
        router, ehrs = open_app(self.dtr(), self.registered, self._payer(app), self.store.app_sessions())
        self.own.append(ehrs)
        app.include_router(router, prefix="/dtr")

    def _payer(self, app: FastAPI) -> httpx.AsyncClient:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")
        self.own.append(client)
        return client

    def include_demo(self, app: FastAPI) -> None:
        """The demo EHR calls the payer by HTTP, in this process, as a caller of this machine."""
        payer, base = self._payer(app), self.settings.base_url

        async def app_keys() -> dict[str, Any]:
            answer = await payer.get("/dtr/jwks.json")
            keys: dict[str, Any] = answer.json()
            return keys

        authorization = Authorization(
            f"{base}/demo/fhir", f"{base}/demo/oauth", f"{base}/dtr/callback", (self.clock, new_key(), app_keys)
        )
        dependencies = demo.DemoDependencies(self.settings, self.clock, self.ids, payer, self._fill, authorization)
        app.include_router(demo.build(dependencies), prefix="/demo")

    async def _fill(
        self, questionnaire: Resource, records: Sequence[Resource], patient_id: str
    ) -> tuple[Sequence[dict[str, Any]], Mapping[str, Sequence[Evidence]]]:
        """A form's answers from a chart, as a DTR client in the EHR would find them."""
        found = self.rules.registry.questionnaire(split_canonical(str(questionnaire.get("url")))[0])
        if found is None:
            raise NotFound("This form is none of ours.")
        filled = await populate(
            found[0],
            questionnaire,
            Chart(tuple(records), patient_id),
            logic=ChartLogic(self.rules.engine, prepare),
            origin="auto-client",
            now=self._now(),
        )
        return filled.items, {
            link_id: tuple(Evidence(e.reference or e.source, e.path, e.shown) for e in evidence)
            for link_id, evidence in filled.evidence.items()
        }

    def _now(self) -> datetime:
        return self.clock.now()


def _registered(settings: Settings) -> Registrations:
    """The EHRs that may launch our app; in the demo, the demo EHR besides."""
    listed = load_registrations(settings.smart_issuers)
    if not settings.demo:
        return listed
    demo_ehr = Issuer(
        iss=f"{settings.base_url}/demo/fhir",
        name="Demo EHR",
        client_id=CLIENT_ID,
        method="private_key_jwt",
        origins=(settings.base_url,),
        client=DEMO,
        key=new_key(),
    )
    return registrations((*listed.by_iss.values(), demo_ehr), listed.payer)


def _include(app: FastAPI, parts: _Parts, metrics: CollectorRegistry) -> None:
    settings = parts.settings
    app.include_router(home.build(settings, parts.rules.registry))
    app.include_router(operations.build(parts.store, parts.rules.registry, metrics))
    app.include_router(crd.build(parts.crd()))
    for base, dtr_version, pas_version in ((NEWEST, "2.2.0", "2.2.1"), (PREVIOUS, "2.0.1", "2.0.1")):
        app.include_router(capability.build(settings, base, dtr=dtr_version, pas=pas_version), prefix=base)
        app.include_router(parts.access.routes, prefix=base)
    app.include_router(dtr.build(parts.dtr(), "2.2.0"), prefix=NEWEST)
    app.include_router(dtr.build(parts.dtr(), "2.0.1"), prefix=PREVIOUS)
    app.include_router(pas.build(parts.pas(), "2.2.1"), prefix=NEWEST)
    app.include_router(pas.build(parts.pas(), "2.0.1"), prefix=PREVIOUS)
    app.include_router(parts.notifications.routes("2.2.1"), prefix=NEWEST)
    app.include_router(parts.notifications.routes("2.0.1"), prefix=PREVIOUS)
    app.include_router(review.build(parts.review()), prefix="/review")
