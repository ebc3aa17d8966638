"""Two registered clients of the whole service, with tokens of its own: neither reaches what is the other's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from service.access.tokens import ASSERTION_TYPE
from service.app.compose import create_app
from service.app.parts import Rules
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.access.signing import NOW, claims, client_file, ec_key, signed
from tests.unit.app.test_every_route import HERE, routes_of
from tests.unit.pas import bundles as b
from tests.unit.pas.notified import subscription
from tests.unit.pas.test_attachment import sent

Json = dict[str, Any]
SCOPES: Final = ("system/Claim.cu", "system/ClaimResponse.rs", "system/Subscription.cruds", "system/Questionnaire.rs")
CLIENTS: Final = "".join(
    f'[[client]]\nid = "{name}"\nname = "{name}"\nscopes = {list(SCOPES)}\njwks_file = "ehr.jwks.json"\n'
    for name in ("alice", "bob")
)
UNMET: Final = {name: answer for name, answer in b.ANSWERS.items() if name != "progression-on-platinum"}


@dataclass(frozen=True)
class Client:
    """One of the two, by its token."""

    http: httpx.AsyncClient
    token: str

    async def call(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        return await self.http.request(method, path, json=body, headers={"Authorization": f"Bearer {self.token}"})


@pytest.fixture
def app(rules: Rules, tmp_path: Path) -> FastAPI:
    settings = Settings(
        public_url=HERE, clients=client_file(tmp_path, CLIENTS), subscriber_hosts=("hooks.example.org",)
    )
    return create_app(settings, tmp_path, clock=FrozenClock(NOW), rules=replace(rules, settings=settings))


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=HERE) as client:
        yield client


async def known(http: httpx.AsyncClient, name: str) -> Client:
    """The client of that name, with a token."""
    told = signed(claims(f"{HERE}/fhir/token", iss=name, sub=name, jti=f"token of {name}"), ec_key())
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": told,
        "scope": " ".join(SCOPES),
    }
    answer = await http.post("/fhir/token", data=form)
    return Client(http, answer.json()["access_token"])


def texts(node: Any) -> Iterator[str]:
    """Every text in an answer, and the last step of every address."""
    if isinstance(node, dict | list):
        for value in node.values() if isinstance(node, dict) else node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node.rpartition("/")[2]


async def pended(client: Client) -> Json:
    """A request that waits for an answer: its whole answer."""
    answer = await client.call("POST", "/fhir/Claim/$submit", b.bundle({b.RESPONSE: b.response(UNMET)}))
    assert answer.status_code == 200
    found: Json = answer.json()
    return found


async def test_no_name_in_an_answer_opens_anything_to_another(app: FastAPI, http: httpx.AsyncClient) -> None:
    alice, bob = await known(http, "alice"), await known(http, "bob")
    told = await pended(alice)
    made = await alice.call("POST", "/fhir/Subscription", subscription("https://hooks.example.org/x"))
    assert made.status_code == 201, made.text
    names = {name for name in (*texts(told), made.json()["id"]) if re.fullmatch(r"[A-Za-z0-9.\-]{6,64}", name)}
    routes = [
        (method, path)
        for method, path in routes_of(app.routes)
        if re.search(r"/fhir/(ClaimResponse|CommunicationRequest|Task|Subscription)/\{", path)
    ]
    opened: dict[str, set[str]] = {"alice": set(), "bob": set()}
    # What deletes comes last: it is to be refused to bob first.
    for method, path in sorted(routes, key=lambda route: route[0] == "DELETE"):
        body = subscription("https://hooks.example.org/y") if method == "PUT" else None
        for name in sorted(names):
            address = re.sub(r"\{[^}]*\}", name, path)
            for who, client in (("bob", bob), ("alice", alice)):
                if (await client.call(method, address, body)).status_code < 400:
                    opened[who].add(f"{method} {path}")
    assert opened["bob"] == set()
    # The same calls open them to whom they belong: it was not the names that were wrong.
    assert {"GET /fhir/ClaimResponse/{case_id}", "GET /fhir/Subscription/{subscription_id}"} <= opened["alice"]
    assert "DELETE /fhir/Subscription/{subscription_id}" in opened["alice"]


async def test_the_same_request_of_another_is_a_case_of_its_own(http: httpx.AsyncClient) -> None:
    alice, bob = await known(http, "alice"), await known(http, "bob")
    hers, his = await pended(alice), await pended(bob)
    assert hers["entry"][0]["resource"]["id"] != his["entry"][0]["resource"]["id"]
    assert not {name for name in texts(his) if name == hers["entry"][0]["resource"]["id"]}


async def test_another_neither_changes_nor_answers_a_request(http: httpx.AsyncClient) -> None:
    """By its identifiers, by our id for it, or by the number of what was asked."""
    alice, bob = await known(http, "alice"), await known(http, "bob")
    told = await pended(alice)
    case_id = told["entry"][0]["resource"]["id"]
    before = (await alice.call("GET", f"/fhir/ClaimResponse/{case_id}")).json()
    relation = b.coded("http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship", "prior")
    for reference in (
        {"reference": b.CLAIM},
        {"reference": f"{HERE}/fhir/ClaimResponse/{case_id}"},
        {"identifier": {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}},
    ):
        changed = b.claim(related=[{"claim": reference, "relationship": relation}])
        body = b.bundle({b.CLAIM.replace("a0000000", "a9999999"): changed}) | {"timestamp": "2026-09-02T00:00:00Z"}
        body["entry"] = [entry for entry in body["entry"] if entry["fullUrl"] != b.CLAIM]
        body["entry"].insert(0, body["entry"].pop())
        assert (await bob.call("POST", "/fhir/Claim/$submit", body)).status_code == 200
    numbers = {name for name in texts(told) if re.fullmatch(r"[A-Z]{1,4}[A-Z0-9\-]{6,}", name)}
    for number in sorted(numbers):
        answer = await bob.call("POST", "/fhir/$submit-attachment", sent(number, b.response()))
        assert answer.status_code == 404, number
    assert (await alice.call("GET", f"/fhir/ClaimResponse/{case_id}")).json() == before
    accepted = [
        (await alice.call("POST", "/fhir/$submit-attachment", sent(number, b.response()))).status_code
        for number in sorted(numbers)
    ]
    assert 200 in accepted
