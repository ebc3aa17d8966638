"""A payer to talk to: the PAS use cases over a store in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from service.determine.determiner import Determiner
from service.determine.obstacles import House
from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.pas.codes import load_codes
from service.pas.dependencies import PasDependencies
from service.pas.inquire import Inquire
from service.pas.routes import SHAPES
from service.pas.shape import Version
from service.pas.submit import Submit
from service.policy.case import Case, ClientId, MemberId
from service.ports import Caller, Evaluator, PolicyRegistry
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.doubles import CountingIds, FrozenClock

Json = dict[str, Any]
NOW = datetime(2026, 9, 1, 15, 4, 7, tzinfo=UTC)
CLINIC = ClientId("clinic")
PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-"


class Payer:
    """One payer with an empty file."""

    def __init__(self, check: StructureCheck, registry: PolicyRegistry, evaluator: Evaluator) -> None:
        self.settings = Settings(public_url="https://payer.example.org/", trust_presented_coverage=True)
        self.store = MemoryStore()
        self.clock = FrozenClock(NOW)
        self.scopes: list[str] = []
        house = House((self.settings.payer_id_system, self.settings.payer_id), trusts_presented_coverage=True)
        self.dependencies = PasDependencies(
            settings=self.settings,
            registry=registry,
            determiner=Determiner(registry, evaluator, house, self.settings.response_max_age_days),
            store=self.store,
            clock=self.clock,
            ids=CountingIds(),
            access=self._access,
            check=check,
            codes=load_codes(),
            engine_version="test",
        )

    def evaluate_with(self, evaluator: Evaluator) -> None:
        determiner = replace(self.dependencies.determiner, evaluator=evaluator)
        self.dependencies = replace(self.dependencies, determiner=determiner)

    async def submit_bytes(self, body: bytes, version: Version = "2.2.1", client: str = CLINIC) -> bytes:
        reply = await Submit(self.dependencies, SHAPES[version])(body, ClientId(client))
        assert reply.status == 200
        return reply.body

    async def submit(self, bundle: Json, version: Version = "2.2.1", client: str = CLINIC) -> Json:
        found: Json = json.loads(await self.submit_bytes(encode(bundle), version, client))
        return found

    async def inquire(
        self, bundle: Json, version: Version = "2.2.1", client: str = CLINIC, npis: frozenset[str] = frozenset()
    ) -> Json:
        caller = Caller(ClientId(client), frozenset(), npis)
        answer = await Inquire(self.dependencies, SHAPES[version])(encode(bundle), caller)
        found: Json = json.loads(encode(answer))
        return found

    async def cases(self, member: str = "M000123") -> list[Case]:
        return [case for case, _ in await self.store.cases_of(MemberId(member))]

    async def _access(self, request: Request, scope: str) -> Caller:
        self.scopes.append(scope)
        return Caller(ClientId(request.headers.get("x-client", CLINIC)), frozenset({scope}))


def response_of(bundle: Json) -> Json:
    """The ClaimResponse, which stands first."""
    first: Json = bundle["entry"][0]["resource"]
    assert first["resourceType"] == "ClaimResponse"
    return first


def action_of(item: Json) -> Json:
    """Parts of an item's reviewAction by url: {"number": ..., ".../reviewActionCode": ...}."""
    (adjudication,) = item["adjudication"]
    assert adjudication["category"]["coding"][0]["code"] == "submitted"
    (action,) = adjudication["extension"]
    assert action["url"] == PAS + "reviewAction"
    return {part["url"]: next(v for k, v in part.items() if k != "url") for part in action["extension"]}


def code_of(item: Json) -> str:
    """The X12 306 code of an item."""
    (coding,) = action_of(item)[PAS + "reviewActionCode"]["coding"]
    assert coding["system"] == "https://codesystem.x12.org/005010/306"
    return str(coding["code"])


def extension_of(element: Json, name: str) -> Json | None:
    """The PAS extension of that name."""
    return next((one for one in element.get("extension", []) if one["url"] == PAS + name), None)
