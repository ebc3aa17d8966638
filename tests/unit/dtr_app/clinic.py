"""A clinic's FHIR server in memory, with a demo patient's chart, and the app's forms opened over it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx

from service.app.parts import Rules
from service.demo.store import EhrStore, searchset, version_of
from service.demo.stories import Setting, find_story, load_chart, load_clinic, load_stories
from service.dtr.app.context import LaunchContext
from service.dtr.app.opening import Forms, Opened, Opener
from service.dtr.package import Packager
from service.dtr.populate import ChartLogic
from service.dtr.select import Sources
from service.dtr.shelf import stock
from service.dtr.versions import SHAPES
from service.ehr.address import Reach
from service.ehr.answer import Bounds
from service.ehr.writing import WritingEhr, WritingEhrs
from service.engine.prepare import prepare
from service.errors import NotFound
from service.policy.case import ClientId
from service.ports import Caller, Store
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock

Json = dict[str, Any]
BASE = "https://ehr.example.org/fhir"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
PATIENT = "approves-at-once"
ORDER = f"MedicationRequest/{PATIENT}-order"
USER = "Practitioner/oncologist"
EHR = ClientId("ehr")


@dataclass
class Clinic:
    """One patient's chart behind HTTP. Types in `silent` are answered with 404.

    `payer` is what the payer has on file, `client` who asks it from here.
    """

    rules: Rules
    store: EhrStore = field(default_factory=EhrStore)
    silent: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    client: ClientId = EHR
    payer: Store = field(default_factory=lambda: MemoryStore(FrozenClock(NOW)))

    def __post_init__(self) -> None:
        setting = Setting(NOW.date(), "DEMO-1", self.rules.settings)
        story = find_story(load_stories(), PATIENT)
        for resource in (*load_clinic(setting), *load_chart(story, setting)):
            self.store.put(resource)

    def change(self, reference: str, **elements: Any) -> None:
        """Sets elements of a record; None takes one away."""
        kind, _, logical_id = reference.partition("/")
        changed = {**self.store.read(kind, logical_id), **elements}
        self.store.put({name: value for name, value in changed.items() if value is not None})

    def add(self, resource: Json) -> None:
        self.store.put({"subject": {"reference": f"Patient/{PATIENT}"}, **resource})

    def ehr(self) -> WritingEhr:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))
        reach = Reach(frozenset({"ehr.example.org"}))
        return WritingEhrs(http, reach, self.rules.check, Bounds()).open(BASE, "token")

    def opener(self) -> Opener:
        rules, clock, shape = self.rules, FrozenClock(NOW), SHAPES["2.2.0"]
        shelf = stock(rules.registry, shape, versioned_canonicals=True, service="https://payer.example.org/fhir")
        sources = Sources(rules.registry, self.payer, rules.settings, shelf, None)
        logic = ChartLogic(rules.engine, prepare)
        return Opener(Packager(shape, sources, logic, clock, CountingIds()), rules.registry, logic, clock)

    async def launch(self, **said: Any) -> Opened | Forms:
        context = LaunchContext(**{"order": ORDER, **said})
        return await self.opener().open(self.ehr(), PATIENT, USER, context, Caller(self.client, frozenset()))

    async def open(self, **said: Any) -> Opened:
        opened = await self.launch(**said)
        assert isinstance(opened, Opened)
        return opened

    def _answer(self, request: httpx.Request) -> httpx.Response:
        kind, *rest = request.url.path.removeprefix("/fhir/").split("/")
        self.asked.append(f"{request.method} {kind}")
        try:
            answer = httpx.Response(404) if kind in self.silent else self._told(request, kind, rest)
        except NotFound:
            answer = httpx.Response(404)
        return httpx.Response(answer.status_code, headers=answer.headers, content=_streamed(answer.content))

    def _told(self, request: httpx.Request, kind: str, rest: list[str]) -> httpx.Response:
        if request.method == "GET" and rest:
            return httpx.Response(200, json=self.store.read(kind, rest[0]))
        if request.method == "GET":
            query = dict(parse_qsl(request.url.query.decode()))
            return httpx.Response(200, json=searchset(self.store.search(kind, query), BASE))
        sent = json.loads(request.content)
        if request.method == "POST":
            written = self.store.write({**sent, "id": "made"})
            return httpx.Response(201, headers={"Location": f"{BASE}/{kind}/made"}, json=written)
        wanted = request.headers.get("if-match")
        if wanted and wanted != f'W/"{version_of(self.store.read(kind, rest[0]))}"':
            return httpx.Response(412)
        return httpx.Response(200, json=self.store.write(sent))


async def _streamed(content: bytes) -> AsyncIterator[bytes]:
    """As from a network: the client reads as it comes, and no more than it wants."""
    yield content
