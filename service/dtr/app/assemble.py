"""The SMART app put together from its surroundings."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import httpx
from fastapi import APIRouter

from service.dtr.app.desk import Desk, Surroundings
from service.dtr.app.keeping import SealedCodec
from service.dtr.app.opening import Opener
from service.dtr.app.payer import PayerDoor, PayerRefused
from service.dtr.app.prior import Requests
from service.dtr.app.routes import AppDependencies, build
from service.dtr.app.sealing import load_sealer, passing_sealer
from service.dtr.app.sessions import SessionRows, Sessions
from service.dtr.package import Packager
from service.dtr.populate import ChartLogic
from service.dtr.routes import DtrDependencies
from service.dtr.select import Sources
from service.dtr.shelf import stock
from service.dtr.versions import SHAPES
from service.ehr.address import Reach
from service.ehr.answer import Bounds
from service.ehr.connection import open_http
from service.ehr.issuers import PayerAccount, Registrations
from service.ehr.smart import SmartLaunch
from service.ehr.writing import WritingEhrs
from service.errors import EhrUnavailable
from service.fhir.build import Json
from service.policy.case import ClientId
from service.ports import Clock
from service.store.app_sessions import MemoryAppSessions
from service.wire import FHIR_JSON

_log = logging.getLogger(__name__)
_SUBMIT: Final = "/fhir/Claim/$submit"
_TOKEN: Final = "/fhir/token"  # noqa: S105 a path
_SCOPE: Final = "system/Claim.cu"
_EARLY: Final = timedelta(seconds=20)


@dataclass
class _Held:
    token: str = field(repr=False)
    until: datetime


class OwnPayer:
    """desk.Payer by HTTP: our own FHIR base as any provider's software reaches it, with a token of its own."""

    def __init__(self, door: PayerDoor, account: PayerAccount | None, clock: Clock) -> None:
        self._door = door
        self._account = account
        self._clock = clock
        self._held: _Held | None = None

    async def submit(self, request: Json) -> Json:
        return await self._door.ask("POST", _SUBMIT, request, FHIR_JSON, await self._authorization())

    async def _authorization(self) -> dict[str, str]:
        if self._account is None:
            return {}
        now = self._clock.now()
        if self._held is None or self._held.until - _EARLY <= now:
            self._held = await self._token(self._account, now)
        return {"Authorization": f"Bearer {self._held.token}"}

    async def _token(self, account: PayerAccount, now: datetime) -> _Held:
        settings = self._door.settings
        proof = account.key.assertion(account.client_id, f"{settings.base_url}{_TOKEN}", now)
        form = {"grant_type": "client_credentials", "scope": _SCOPE, **proof}
        try:
            response = await self._door.client.post(_TOKEN, data=form)
        except httpx.HTTPError:
            raise EhrUnavailable("The payer could not be reached. Try again in a moment.") from None
        answer = self._door.read(response.content)
        token, seconds = answer.get("access_token"), answer.get("expires_in")
        if not response.is_success or not isinstance(token, str) or not isinstance(seconds, int):
            raise PayerRefused("The payer does not let this app send requests. Ask your administrator.")
        return _Held(token, now + timedelta(seconds=seconds))


def open_app(
    dependencies: DtrDependencies, registered: Registrations, payer: httpx.AsyncClient, rows: SessionRows
) -> tuple[APIRouter, httpx.AsyncClient]:
    """The router to include under /dtr, and the client of EHRs to close at the end. `payer` leads to our own base.

    `rows` keep sessions where there is a key to seal them with; else they are in this process alone.
    """
    settings, clock = dependencies.settings, dependencies.clock
    reach = Reach(registered.hosts, settings.ehr_private_addresses, settings.demo)
    http = open_http(reach, settings.app_ehr_seconds)
    logic = ChartLogic(dependencies.evaluator, dependencies.prepare)
    shape = SHAPES["2.2.0"]
    base = settings.base_url + shape.base_path
    shelf = stock(dependencies.registry, shape, versioned_canonicals=True, service=base)
    sources = Sources(dependencies.registry, dependencies.store, settings, shelf, dependencies.members)
    packager = Packager(shape, sources, logic, clock, dependencies.ids)
    launch = SmartLaunch(registered, http, reach, clock, f"{settings.base_url}/dtr/callback")
    bounds = Bounds(seconds=settings.app_ehr_seconds, max_depth=settings.max_depth)
    desk = Desk(
        Surroundings(
            launch=launch,
            ehrs=WritingEhrs(http, reach, dependencies.check, bounds),
            opener=Opener(packager, dependencies.registry, logic, clock),
            evaluator=dependencies.evaluator,
            payer=OwnPayer(PayerDoor(payer, settings), registered.payer, clock),
            sessions=_sessions(dependencies, registered, rows),
            clock=clock,
            ids=dependencies.ids,
            shelf=shelf,
            requests=Requests(
                dependencies.store, settings, ClientId(registered.payer.client_id) if registered.payer else None
            ),
        )
    )
    return build(AppDependencies(settings, registered, launch, desk)), http


def _sessions(dependencies: DtrDependencies, registered: Registrations, rows: SessionRows) -> Sessions:
    keys = dependencies.settings.session_keys
    if keys is None:
        if registered.by_iss:
            _log.warning("SESSIONS OF THE SMART APP ARE IN MEMORY: A RESTART ENDS THEM (PA_SESSION_KEYS)")
        codec = SealedCodec(passing_sealer(), registered, dependencies.registry)
        return Sessions(MemoryAppSessions(), codec, dependencies.clock)
    codec = SealedCodec(load_sealer(keys), registered, dependencies.registry)
    return Sessions(rows, codec, dependencies.clock)
