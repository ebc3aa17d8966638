"""Keys that a client serves: fetched from registered addresses only, and no oftener than needed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.clients import load_clients
from service.access.hooks import JwtHookAccess
from service.access.keys import KeyFinder
from service.access.proof import Proofs
from service.errors import NotAuthenticated
from service.store.memory import MemoryStore
from tests.unit.access.door import BODY, PATH, SECONDS_NOW, URL, Door
from tests.unit.access.signing import (
    BASE,
    ISSUER,
    JWKS_URL,
    JwksServer,
    claims,
    client_file,
    ec_key,
    public,
    request,
    signed,
)


async def test_keys_are_fetched_once(fetching: Door) -> None:
    for number, jku in enumerate((None, JWKS_URL, None)):
        assert await fetching.enter(signed(claims(URL, jti=f"t-{number}"), jku=jku))
    assert fetching.server.asked == [JWKS_URL]


async def test_an_unknown_kid_is_looked_for_again_once(fetching: Door) -> None:
    assert await fetching.enter(signed(claims(URL)))
    fetching.clock.advance(timedelta(seconds=30))
    fetching.server.serve(ec_key(), ec_key("ec-2"))
    assert await fetching.enter(signed(claims(URL, jti="token-2"), ec_key("ec-2")))
    assert len(fetching.server.asked) == 2
    for _ in range(5):
        assert await fetching.refuses(signed(claims(URL), ec_key("ec-3")))
    assert len(fetching.server.asked) == 2


async def test_a_withdrawn_key_stops_working_within_an_hour(fetching: Door) -> None:
    assert await fetching.enter(signed(claims(URL)))
    fetching.server.serve(ec_key("ec-2"))
    fetching.clock.advance(timedelta(minutes=61))
    later = SECONDS_NOW + 3660
    assert await fetching.refuses(signed(claims(URL, iat=later, exp=later + 60, jti="late")))


async def test_keys_outlive_a_failed_look_for_an_unknown_one(fetching: Door) -> None:
    assert await fetching.enter(signed(claims(URL)))
    fetching.clock.advance(timedelta(seconds=30))
    fetching.server.answer = httpx.Response(503)
    assert await fetching.refuses(signed(claims(URL), ec_key("ec-2")))
    assert await fetching.enter(signed(claims(URL, jti="next")))


@pytest.mark.parametrize(
    "jku",
    [
        "https://evil.example.org/jwks.json",
        JWKS_URL.replace("https", "http"),
        JWKS_URL + "?",
        JWKS_URL + "/../jwks.json",
        JWKS_URL.upper(),
        "https://ehr.example.org@evil.example.org/jwks.json",
        "",
        7,
    ],
)
async def test_a_jku_that_is_not_on_the_list_is_not_fetched(fetching: Door, jku: Any) -> None:
    assert await fetching.refuses(signed(claims(URL), jku=jku))
    assert fetching.server.asked == []


async def test_a_long_registered_jku_fits(tmp_path: Path) -> None:
    long = "https://ehr.example.org/" + "x" * 470
    text = f'[[client]]\nid="e"\nname="E"\nissuers=["{ISSUER}"]\njwks_urls=["{long}"]\n'
    door = Door(client_file(tmp_path, text), JwksServer(ec_key()))
    assert await door.enter(signed(claims(URL), jku=long, long="y" * 200))
    await door.http.aclose()


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://ehr.example.org/moved.json"}),
        httpx.Response(301, headers={"Location": JWKS_URL + "2"}, json=public(ec_key())),
        httpx.Response(500, json=public(ec_key())),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": []}),
        httpx.Response(200, json={"keys": [1, {"kid": "ec-1", "kty": "EC", "crv": "P-384", "x": "!", "y": 1}]}),
        httpx.Response(200, json={"keys": [ec_key().as_dict(private=True)]}),
        httpx.Response(200, json={**public(ec_key()), "more": "x" * 300_000}),
    ],
)
async def test_only_a_plain_key_set_counts(fetching: Door, answer: httpx.Response) -> None:
    fetching.server.answer = answer
    assert await fetching.refuses(signed(claims(URL)))
    assert fetching.server.asked == [JWKS_URL]


async def test_an_endless_answer_is_not_read_to_its_end(tmp_path: Path, fetching: Door) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 10_000
            yield b" " * 10_000

    transport = httpx.MockTransport(lambda asked: httpx.Response(200, content=endless()))
    async with httpx.AsyncClient(transport=transport) as http:
        finder = KeyFinder(http, fetching.clock)
        client = load_clients(tmp_path / "clients.toml").by_id["ehr-1"]
        assert await finder.find(client, "ec-1", "EC", None) is None
    assert sent < 500_000


async def test_a_served_set_may_hold_other_keys(fetching: Door) -> None:
    encryption = {**ec_key("enc").as_dict(private=False), "use": "enc"}
    others = [{"kty": "OKP", "kid": "x"}, {"kty": "EC", "crv": "P-256"}, encryption]
    fetching.server.answer = httpx.Response(200, json={"keys": [*others, *public(ec_key())["keys"]]})
    assert await fetching.enter(signed(claims(URL)))
    fetching.clock.advance(timedelta(seconds=30))
    assert await fetching.refuses(signed(claims(URL), ec_key("enc")))


async def test_a_server_that_cannot_be_reached_is_a_refusal(tmp_path: Path, fetching: Door) -> None:
    def fail(asked: httpx.Request) -> httpx.Response:
        raise httpx.ConnectTimeout("too slow", request=asked)

    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as http:
        proofs = Proofs(KeyFinder(http, fetching.clock), MemoryStore(fetching.clock), fetching.clock)
        access = JwtHookAccess(load_clients(tmp_path / "clients.toml"), proofs, BASE)
        with pytest.raises(NotAuthenticated):
            await access(request(PATH, {"Authorization": f"Bearer {signed(claims(URL))}"}), BODY)
