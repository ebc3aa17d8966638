"""Made-up requests for a package, and the service around them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI
from fhir.resources.R4B import get_fhir_model_class
from starlette.requests import Request
from starlette.responses import Response

from service.dtr.routes import DtrDependencies, build
from service.dtr.versions import SHAPES, Version
from service.engine.prepare import prepare
from service.errors import ServiceError
from service.fhir.outcome import answer_for, operation_outcome
from service.fhir.parse import StructureCheck
from service.policy.case import Authorization, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.ports import Assertion, Caller, Evaluation, Evaluator, Exchange, MemberDirectory, PolicyRegistry
from service.settings import Settings
from service.store.form_errors import MemoryFormErrors
from service.store.memory import MemoryStore
from service.wire import fhir_response
from tests.doubles import CountingIds, FrozenClock

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
PAYER = "https://payer.example.org/fhir"
INITIAL = f"{PAYER}/Questionnaire/imdelltra-initial"
RENEWAL = f"{PAYER}/Questionnaire/imdelltra-renewal"
LIBRARY = f"{PAYER}/Library/ImdelltraPrepopulation"
VERSIONS: tuple[Version, ...] = ("2.0.1", "2.2.0")
CLIENT = ClientId("ehr")


def coverage(**changes: Any) -> Json:
    return {
        "resourceType": "Coverage",
        "id": "cov1",
        "status": "active",
        "beneficiary": {"reference": "Patient/p1"},
        "subscriberId": "DEMO-1",
        "payor": [{"identifier": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}}],
    } | changes


def order(code: str = "J9026", **changes: Any) -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": "mr1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {"coding": [{"system": HCPCS, "code": code}]},
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2026-12-01",
    } | changes


def patient(**changes: Any) -> Json:
    return {"resourceType": "Patient", "id": "p1", "birthDate": "1958-02-03"} | changes


def resource(name: str, value: Json) -> Json:
    return {"name": name, "resource": value}


def request_for(*parameters: Json, cover: Json | None = None) -> Json:
    return {
        "resourceType": "Parameters",
        "parameter": [resource("coverage", cover or coverage()), *parameters],
    }


def by_order(**changes: Any) -> Json:
    return request_for(resource("order", order(**changes)))


def by_canonical(*canonicals: str) -> Json:
    return request_for(*({"name": "questionnaire", "valueCanonical": c} for c in canonicals))


def assertion(**changes: Any) -> Assertion:
    values: Json = {
        "id": "assertion-1",
        "client": CLIENT,
        "order_key": "order",
        "coverage_key": "coverage",
        "order_reference": "MedicationRequest/mr1",
        "coverage_reference": "Coverage/cov1",
        "policy_id": "imdelltra",
        "questionnaire": f"{INITIAL}|1.0.0",
        "made_at": NOW,
        "shown": {},
    }
    return Assertion(**(values | changes))


class StoreDouble(MemoryStore):
    """A store with authorizations on file."""

    def __init__(self, ends: Mapping[str, date]) -> None:
        super().__init__(FrozenClock(NOW))
        self._ends = ends

    async def authorizations(self, member: MemberId, policy_id: str) -> Sequence[Authorization]:
        end = self._ends.get(member)
        if end is None or policy_id != "imdelltra":
            return ()
        return (Authorization("A1", policy_id, member, DatePeriod(end.replace(year=end.year - 1), end)),)


@dataclass
class EvaluatorDouble:
    """Answers what it is told, null otherwise; remembers what it was asked."""

    answers: Mapping[str, Any] = field(default_factory=dict)
    fails: ServiceError | None = None
    asked: list[Evaluation] = field(default_factory=list)

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        self.asked.append(evaluation)
        if self.fails is not None:
            raise self.fails
        return {name: self.answers.get(name) for name in evaluation.defines}


@dataclass
class Access:
    """Lets one client in, and remembers the scopes that were asked for."""

    client: ClientId = CLIENT
    scopes: list[str] = field(default_factory=list)

    async def __call__(self, request: Request, scope: str) -> Caller:
        self.scopes.append(scope)
        return Caller(self.client, frozenset({scope}))


@dataclass
class Service:
    """One version's routes, called through HTTP."""

    registry: PolicyRegistry
    check: StructureCheck
    evaluator: Evaluator = field(default_factory=EvaluatorDouble)
    settings: Settings = field(default_factory=Settings)
    access: Access = field(default_factory=Access)
    ends: Mapping[str, date] = field(default_factory=dict)
    assertions: tuple[Assertion, ...] = ()
    form_errors: MemoryFormErrors = field(default_factory=MemoryFormErrors)
    exchanges: list[Exchange] = field(default_factory=list)
    members: MemberDirectory | None = None

    async def call(self, version: Version, method: str, path: str, **more: Any) -> httpx.Response:
        store = StoreDouble(self.ends)
        await store.save_assertions(self.assertions)
        dependencies = DtrDependencies(
            settings=self.settings,
            registry=self.registry,
            store=store,
            clock=FrozenClock(NOW),
            ids=CountingIds(),
            access=self.access,
            check=self.check,
            evaluator=self.evaluator,
            prepare=prepare,
            form_errors=self.form_errors,
            members=self.members,
        )
        app = FastAPI()
        app.include_router(build(dependencies, version), prefix=SHAPES[version].base_path)
        app.add_exception_handler(ServiceError, _told)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://payer") as client:
            answer = await client.request(method, SHAPES[version].base_path + path, **more)
        self.exchanges += store.exchanges
        return answer

    async def package(self, version: Version, body: Json) -> httpx.Response:
        return await self.call(version, "POST", "/Questionnaire/$questionnaire-package", json=body)

    async def get(self, version: Version, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        return await self.call(version, "GET", path, params=params)


async def _told(request: Request, error: Exception) -> Response:
    return fhir_response(operation_outcome(error), answer_for(error).status)


def packages(answer: Json) -> list[Json]:
    """The package Bundles of an answer in either shape."""
    if answer["resourceType"] == "Bundle":
        return [answer]
    return [p["resource"] for p in answer["parameter"] if p["resource"]["resourceType"] == "Bundle"]


def issues(answer: Json) -> list[Json]:
    """The issues of an answer: of its outcome parameter, or of itself."""
    if answer["resourceType"] == "OperationOutcome":
        return list(answer["issue"])
    outcomes = [p["resource"] for p in answer.get("parameter", ())]
    return [issue for o in outcomes if o["resourceType"] == "OperationOutcome" for issue in o["issue"]]


def held(package: Json, kind: str) -> list[Json]:
    return [e["resource"] for e in package["entry"] if e["resource"]["resourceType"] == kind]


def form_urls(answer: Json) -> list[str]:
    return [held(package, "Questionnaire")[0]["url"] for package in packages(answer)]


def draft(answer: Json) -> Json:
    [found] = held(packages(answer)[0], "QuestionnaireResponse")
    return found


def answers(response: Json) -> Json:
    """value[x] elements by linkId, at any depth."""
    found: Json = {}
    for item in walk(response):
        for answer in item.get("answer", ()):
            found[item["linkId"]] = next(v for k, v in answer.items() if k.startswith("value"))
    return found


def walk(holder: Json) -> Iterator[Json]:
    for item in holder.get("item", ()):
        yield item
        yield from walk(item)
        for answer in item.get("answer", ()):
            yield from walk(answer)


def validate(resource_: Json) -> None:
    """Refuse what R4B refuses."""
    copied = json.loads(json.dumps(resource_))
    get_fhir_model_class(copied["resourceType"]).model_validate(copied)


def content(library: Json, kind: str) -> bytes:
    [data] = [c["data"] for c in library["content"] if c["contentType"] == kind]
    return base64.b64decode(data)


def without_content(value: Any) -> Any:
    """For goldens: attachments' bytes are tested on their own, and change with every edit of the logic."""
    if isinstance(value, list):
        return [without_content(item) for item in value]
    if isinstance(value, dict):
        return {k: "(left out)" if k == "data" else without_content(v) for k, v in value.items()}
    return value


def context(assertion_id: str) -> Json:
    return {"name": "context", "valueString": assertion_id}


async def answer_to(service: Service, version: Version, body: Json) -> Json:
    """The 200 answer to a request for a package, R4B-valid."""
    response = await service.package(version, body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/fhir+json"
    answer: Json = response.json()
    validate(answer)
    return answer
