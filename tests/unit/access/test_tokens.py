"""The token endpoint and what its tokens open, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from service.access.assemble import Access, open_access
from service.access.tokens import ASSERTION_TYPE
from service.errors import Forbidden, NotAuthenticated
from service.settings import Settings
from service.store.memory import MemoryStore
from tests.doubles import FrozenClock
from tests.unit.access.signing import BASE, NOW, JwksServer, claims, client_file, ec_key, request, rsa_key, signed

TOKEN_URL = f"{BASE}/fhir/token"
SECONDS_NOW = int(NOW.timestamp())


class Service:
    """The token endpoint under its two FHIR bases, and access to FHIR endpoints."""

    def __init__(self, clients: Path | None, store: MemoryStore, clock: FrozenClock) -> None:
        self.clock = clock
        self.outside = JwksServer().client()
        settings = Settings(public_url=BASE + "/", clients=clients, token_seconds=300)
        self.access: Access = open_access(settings, store, self.outside, clock)
        app = FastAPI()
        for base in ("/fhir", "/2.0.1/fhir"):
            app.include_router(self.access.routes, prefix=base)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://payer.example.org")

    async def token(self, *, path: str = "/fhir/token", **changes: Any) -> httpx.Response:
        return await self.http.post(path, data=form(**changes))

    async def opens(self, token: str, scope: str) -> Any:
        return await self.access.fhir(request("/fhir/Claim/$submit", {"Authorization": f"Bearer {token}"}), scope)

    async def close(self) -> None:
        await self.http.aclose()
        await self.outside.aclose()


def assertion(key: Any = None, *, alg: str = "ES384", **changes: Any) -> str:
    return signed(claims(**{"audience": TOKEN_URL, "iss": "ehr-1", "sub": "ehr-1", **changes}), key, alg=alg)


def form(**changes: Any) -> dict[str, str]:
    made = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion(),
        "scope": "system/Claim.cu",
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    clock = FrozenClock(NOW)
    made = Service(client_file(tmp_path), MemoryStore(clock), clock)
    yield made
    await made.close()


@pytest.mark.parametrize("path", ["/fhir/token", "/2.0.1/fhir/token"])
@pytest.mark.requirement("PAS priv-3")
async def test_a_client_gets_a_token_that_opens_what_it_may(service: Service, path: str) -> None:
    answer = await service.token(path=path, scope="system/Claim.cruds system/*.read openid launch")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    said = answer.json()
    assert said["token_type"] == "bearer"
    assert said["expires_in"] == 300
    assert said["scope"] == "system/Claim.cu system/Questionnaire.rs"
    caller = await service.opens(said["access_token"], "system/Claim.cu")
    assert (caller.client, caller.npis) == ("ehr-1", {"1234567893"})
    assert caller.scopes == {"system/Claim.cu", "system/Questionnaire.rs"}
    assert await service.opens(said["access_token"], "system/Questionnaire.rs")
    with pytest.raises(Forbidden, match=r"system/Library\.rs"):
        await service.opens(said["access_token"], "system/Library.rs")


async def test_rs384_and_scopes_in_lower_case_work(service: Service) -> None:
    answer = await service.token(client_assertion=assertion(rsa_key(), alg="RS384"), scope="system/questionnaire.rs")
    assert answer.json()["scope"] == "system/questionnaire.rs"
    assert await service.opens(answer.json()["access_token"], "system/Questionnaire.rs")


async def test_a_token_holds_only_what_was_asked_for(service: Service) -> None:
    token = (await service.token(scope="system/Claim.c")).json()["access_token"]
    assert await service.opens(token, "system/Claim.c")
    with pytest.raises(Forbidden):
        await service.opens(token, "system/Claim.cu")


async def test_a_token_ends(service: Service) -> None:
    token = (await service.token()).json()["access_token"]
    service.clock.advance(timedelta(seconds=299))
    assert await service.opens(token, "system/Claim.cu")
    service.clock.advance(timedelta(seconds=1))
    with pytest.raises(NotAuthenticated):
        await service.opens(token, "system/Claim.cu")


async def test_another_worker_on_the_same_store_knows_the_token(tmp_path: Path) -> None:
    clock = FrozenClock(NOW)
    store = MemoryStore(clock)
    one, other = (Service(client_file(tmp_path), store, clock) for _ in range(2))
    token = (await one.token()).json()["access_token"]
    assert await other.opens(token, "system/Claim.cu")
    assert (await other.token()).json()["error"] == "invalid_client"
    reduced = Service(client_file(tmp_path, _with_scopes("system/Claim.c")), store, clock)
    with pytest.raises(Forbidden):
        await reduced.opens(token, "system/Claim.cu")
    removed = Service(None, store, clock)
    with pytest.raises(NotAuthenticated):
        await removed.opens(token, "system/Claim.cu")
    for worker in (one, other, reduced, removed):
        await worker.close()


def _with_scopes(scope: str) -> str:
    return f'[[client]]\nid = "ehr-1"\nname = "E"\nscopes = ["{scope}"]\njwks_file = "ehr.jwks.json"'


@pytest.mark.parametrize("token", ["", "x", "x" * 100_000, "\u00e9"])
async def test_a_token_that_we_did_not_issue_opens_nothing(service: Service, token: str) -> None:
    with pytest.raises(NotAuthenticated):
        await service.opens(token, "system/Claim.cu")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": None}, "invalid_request"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"client_assertion_type": None}, "invalid_request"),
        ({"client_assertion_type": "urn:other"}, "invalid_request"),
        ({"client_assertion": None}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "system/Patient.rs"}, "invalid_scope"),
        ({"scope": "system/Claim.cu?x"}, "invalid_scope"),
    ],
)
async def test_a_bad_request_gets_the_error_of_the_rfc(service: Service, changes: dict[str, Any], error: str) -> None:
    answer = await service.token(**changes)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert answer.headers["cache-control"] == "no-store"


WRONG: dict[str, dict[str, Any]] = {
    "unknown client": {"iss": "other", "sub": "other"},
    "issuer is not the subject": {"sub": "other"},
    "no subject": {"sub": None},
    "no issuer": {"iss": None},
    "audience is the base": {"audience": f"{BASE}/fhir"},
    "audience is another server": {"audience": "https://other.example.org/fhir/token"},
    "no audience": {"audience": None},
    "expired": {"exp": SECONDS_NOW - 60},
    "no expiry": {"exp": None},
    "lives over five minutes": {"exp": SECONDS_NOW + 361},
    "issued in the future": {"iat": SECONDS_NOW + 61},
    "no token id": {"jti": None},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG.keys())
async def test_one_wrong_claim_is_enough(service: Service, changes: dict[str, Any]) -> None:
    answer = await service.token(client_assertion=assertion(**changes))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_description"] == "The client assertion is not valid."


async def test_an_assertion_without_issue_time_is_enough(service: Service) -> None:
    assert (await service.token(client_assertion=assertion(iat=None))).status_code == 200


@pytest.mark.parametrize("text", ["x", "a.b.c", "....", "\u00e9.\u00e9.\u00e9"])
async def test_an_assertion_that_is_none_is_refused(service: Service, text: str) -> None:
    assert (await service.token(client_assertion=text)).json()["error"] == "invalid_client"


async def test_an_assertion_of_another_key_or_algorithm_is_refused(service: Service) -> None:
    for token in (assertion(ec_key("ec-9")), assertion(rsa_key(), alg="RS256")):
        assert (await service.token(client_assertion=token)).json()["error"] == "invalid_client"


async def test_an_assertion_is_used_once(service: Service) -> None:
    assert (await service.token()).status_code == 200
    assert (await service.token()).json()["error"] == "invalid_client"
    assert (await service.token(path="/2.0.1/fhir/token")).json()["error"] == "invalid_client"
    assert (await service.token(client_assertion=assertion(jti="next"))).status_code == 200


async def test_a_client_id_beside_the_assertion_must_agree(service: Service) -> None:
    assert (await service.token(client_id="other")).json()["error"] == "invalid_client"
    assert (await service.token(client_id="ehr-1")).status_code == 200


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b'{"grant_type":"client_credentials"}', "application/json"),
        (b"grant_type=client_credentials&grant_type=client_credentials", "application/x-www-form-urlencoded"),
        (b"grant_type=%ff", "application/x-www-form-urlencoded"),
        (b"grant_type=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"f%d=1" % number for number in range(50)), "application/x-www-form-urlencoded"),
        (b"grant_type=" + b"x" * 70_000, "application/x-www-form-urlencoded"),
        (b"", "application/x-www-form-urlencoded"),
        (b"", ""),
    ],
)
async def test_what_is_no_form_is_an_invalid_request(service: Service, content: bytes, media_type: str) -> None:
    answer = await service.http.post("/fhir/token", content=content, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_nobody_gets_a_token_where_nobody_is_registered() -> None:
    clock = FrozenClock(NOW)
    nobody = Service(None, MemoryStore(clock), clock)
    assert (await nobody.token()).json()["error"] == "invalid_client"
    with pytest.raises(NotAuthenticated):
        await nobody.access.hooks(request("/cds-services", {}), b"")
    with pytest.raises(NotAuthenticated):
        await nobody.access.fhir(request("/fhir/Claim", {}), "system/Claim.cu")
    await nobody.close()


@pytest.mark.parametrize("base", ["/fhir", "/2.0.1/fhir"])
async def test_discovery_says_where_and_how(service: Service, base: str) -> None:
    said = (await service.http.get(f"{base}/.well-known/smart-configuration")).json()
    assert said["token_endpoint"] == TOKEN_URL
    assert said["grant_types_supported"] == ["client_credentials"]
    assert said["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
    assert "client-confidential-asymmetric" in said["capabilities"]
    assert "system/Claim.cu" in said["scopes_supported"]
