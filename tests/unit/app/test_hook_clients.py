"""Registered clients at the whole application, without --demo: every hook and its feedback, by signed tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey
from starlette.responses import Response

from service.app.compose import create_app
from service.app.parts import Rules
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.access.signing import BASE, NOW, claims, client_file, ec_key, public, rsa_key, signed
from tests.unit.app.test_members import Idle
from tests.unit.crd.test_other_hooks import appointment, booked, dispatched, hook_request
from tests.unit.crd.world import request
from tests.unit.ehr.server import Asked, served
from tests.unit.ehr.test_reach import _certificate as certificate

SERVED_ISSUER = "https://served.example.org"
_PINNED = """
[[client]]
id = "pinned"
name = "Example EHR"
issuers = ["https://ehr.example.org"]
jwks_file = "ehr.jwks.json"
"""
_SERVED = f"""
[[client]]
id = "served"
name = "Another EHR"
issuers = ["{SERVED_ISSUER}"]
jwks_urls = ["{{address}}"]
"""
HOOKS: dict[str, Any] = {
    "order-sign": request(),
    "order-select": request(hook="order-select"),
    "order-dispatch": dispatched(),
    "appointment-book": booked(appointment()),
    "encounter-start": hook_request("encounter-start", {}),
    "encounter-discharge": hook_request("encounter-discharge", {}),
}
FEEDBACK = {"feedback": [{"card": "c1", "outcome": "accepted", "outcomeTimestamp": "2026-12-01T15:30:00Z"}]}
ALGORITHMS = pytest.mark.parametrize(("algorithm", "key"), [("ES384", ec_key("k-ec")), ("RS384", rsa_key("k-rsa"))])


@dataclass(frozen=True)
class Client:
    """A registered client that signs a new token for each call, unless it is given one."""

    http: httpx.AsyncClient
    numbers: Any = field(default_factory=count)

    def token(self, path: str, algorithm: str = "ES384", key: ECKey | RSAKey | None = None, **changes: Any) -> str:
        content = claims(f"{BASE}{path}", **{"jti": f"token-{next(self.numbers)}", **changes})
        return signed(content, key or ec_key("k-ec"), alg=algorithm)

    async def call(self, path: str, body: Any, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is None:
            return await self.http.get(path, headers=headers)
        return await self.http.post(path, json=body, headers=headers)


@asynccontextmanager
async def opened(folder: Path, rules: Rules, clients: str = "") -> AsyncIterator[Client]:
    """The application with a file of clients: one whose keys are pinned, and those of `clients`."""
    pinned = public(ec_key("k-ec"), rsa_key("k-rsa"))
    file = client_file(folder, f"{_PINNED}{clients}", keys=pinned)
    settings = Settings(clients=file, public_url=BASE, cors_origins=("https://ehr.example.org",))
    engine: Any = Idle()
    app = create_app(settings, folder, clock=FrozenClock(NOW), rules=replace(rules, settings=settings, engine=engine))
    # The address of this machine, which opens every door in the demo, opens none here.
    transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        yield Client(http)


@pytest.fixture
async def client(tmp_path: Path, rules: Rules) -> AsyncIterator[Client]:
    async with opened(tmp_path, rules) as known:
        yield known


@ALGORITHMS
@pytest.mark.parametrize("hook", HOOKS)
async def test_every_hook_and_its_feedback_take_the_token_for_their_own_address(
    client: Client, hook: str, algorithm: str, key: ECKey | RSAKey
) -> None:
    path = f"/cds-services/{hook}-crd"
    answer = await client.call(path, HOOKS[hook], client.token(path, algorithm, key))
    assert answer.status_code == 200, answer.text
    assert "cards" in answer.json()
    told = await client.call(f"{path}/feedback", FEEDBACK, client.token(f"{path}/feedback", algorithm, key))
    assert told.status_code == 200, told.text


@ALGORITHMS
async def test_discovery_takes_one_too(client: Client, algorithm: str, key: ECKey | RSAKey) -> None:
    answer = await client.call("/cds-services", None, client.token("/cds-services", algorithm, key))
    assert answer.status_code == 200
    assert {service["hook"] for service in answer.json()["services"]} == set(HOOKS)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.requirement("CRD sec-1")
async def test_without_a_token_or_with_anothers_nobody_is_let_in(client: Client, hook: str) -> None:
    path = f"/cds-services/{hook}-crd"
    forged = client.token(path, key=ECKey.generate_key("P-384", {"kid": "k-ec"}))
    for token in (None, client.token("/cds-services"), client.token(f"{path}/feedback"), forged):
        answer = await client.call(path, HOOKS[hook], token)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    told = await client.call(f"{path}/feedback", FEEDBACK, client.token(path))
    assert told.status_code == 401


async def test_a_token_serves_several_bodies_and_none_of_them_twice(client: Client) -> None:
    path = "/cds-services/order-sign-crd"
    token = client.token(path)
    first, second = request(), request(version="2.2")
    assert [(await client.call(path, body, token)).status_code for body in (first, second)] == [200, 200]
    assert [(await client.call(path, body, token)).status_code for body in (first, second)] == [401, 401]
    feedback = client.token(f"{path}/feedback")
    told = [(await client.call(f"{path}/feedback", FEEDBACK, feedback)).status_code for _ in range(2)]
    assert told == [200, 401]


@pytest.mark.parametrize("path", ["", *(f"/{hook}-crd{after}" for hook in HOOKS for after in ("", "/feedback"))])
async def test_the_preflight_is_free(client: Client, path: str) -> None:
    asked = {
        "Origin": "https://ehr.example.org",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    answer = await client.http.options(f"/cds-services{path}", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, asked["Origin"])


async def test_keys_are_fetched_from_a_registered_address_and_no_other(
    tmp_path: Path, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/cds-services/order-sign-crd"
    chain, private = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    with served(_keys, (chain, private)) as keys:
        address = f"https://localhost:{keys.port}/jwks.json"
        async with opened(tmp_path, rules, _SERVED.format(address=address)) as client:
            content = claims(f"{BASE}{path}", iss=SERVED_ISSUER)
            elsewhere = signed({**content, "jti": "1"}, ec_key("served"), jku="https://localhost:1/jwks.json")
            assert (await client.call(path, request(), elsewhere)).status_code == 401
            assert keys.asked == []
            named = signed({**content, "jti": "2"}, ec_key("served"), jku=address)
            assert (await client.call(path, request(), named)).status_code == 200
            # One client's key is no key of another's.
            theirs = signed({**claims(f"{BASE}{path}"), "jti": "3"}, ec_key("served"))
            assert (await client.call(path, request(), theirs)).status_code == 401


def _keys(_asked: Asked) -> Response:
    # A connection that stays open would keep a closing TLS server waiting.
    return Response(
        json.dumps(public(ec_key("served"))), media_type="application/json", headers={"Connection": "close"}
    )
