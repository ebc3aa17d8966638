"""Forged and malformed tokens at a CDS Hooks endpoint."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha384
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey

from service.access.proof import parse_token
from service.errors import NotAuthenticated
from tests.unit.access.door import URL, Door
from tests.unit.access.signing import (
    JWKS_URL,
    JwksServer,
    claims,
    client_file,
    ec_key,
    rsa_key,
    signed,
)


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "unknown"},
        {"kid": None},
        {"kid": "rsa-1"},
        {"typ": "at+jwt"},
        {"jku": JWKS_URL},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
        {"crit": ["kid"]},
        {"jwk": ec_key("own").as_dict(private=False), "kid": "own"},
    ],
)
async def test_a_header_that_does_not_fit_is_refused(door: Door, header: dict[str, Any]) -> None:
    assert await door.refuses(signed(claims(URL), **header))


async def test_an_unknown_header_member_is_ignored(door: Door) -> None:
    assert await door.enter(signed(claims(URL), made_by="us", typ=None))


@pytest.mark.requirement("CRD sec-1")
async def test_a_forged_signature_is_refused(door: Door) -> None:
    stranger = ECKey.generate_key("P-384", {"kid": "ec-1"})
    assert await door.refuses(signed(claims(URL), stranger))
    head, _, tail = signed(claims(URL)).split(".")
    other = signed(claims(URL, jti="token-2")).split(".")[1]
    assert await door.refuses(f"{head}.{other}.{tail}")
    assert await door.refuses(f"{head}.{other}.")


@pytest.mark.requirement("CRD sec-1")
async def test_no_algorithm_and_shared_secrets_are_refused(door: Door) -> None:
    content = _part(claims(URL))
    for algorithm in ("none", "None", "NONE"):
        assert await door.refuses(f"{_part({'alg': algorithm, 'kid': 'ec-1'})}.{content}.")
    secret = OctKey.import_key("a secret that is long enough for HMAC", {"kid": "ec-1"})
    for algorithm in ("HS256", "HS384"):
        assert await door.refuses(signed(claims(URL), secret, alg=algorithm))


@pytest.mark.parametrize("encoding", ["pem", "der", "jwk"])
async def test_a_public_key_is_no_shared_secret(door: Door, encoding: str) -> None:
    key = rsa_key()
    secrets = {
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
        "jwk": json.dumps(key.as_dict(private=False)).encode(),
    }
    for algorithm in ("HS384", "RS384", "ES384"):
        message = f"{_part({'alg': algorithm, 'kid': 'rsa-1'})}.{_part(claims(URL))}"
        signature = hmac.new(secrets[encoding], message.encode(), sha384).digest()
        assert await door.refuses(f"{message}.{_text(signature)}")


async def test_other_algorithms_of_the_same_key_are_refused(door: Door) -> None:
    for algorithm in ("RS256", "RS512", "PS384"):
        assert await door.refuses(signed(claims(URL), rsa_key(), alg=algorithm))


async def test_rs256_only_where_the_client_needs_it(tmp_path: Path) -> None:
    tolerant = Door(client_file(tmp_path, "tolerate_rs256 = true"), JwksServer())
    assert await tolerant.enter(signed(claims(URL), rsa_key(), alg="RS256"))
    await tolerant.http.aclose()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(
    st.text(max_size=60)
    | st.lists(st.binary(max_size=40), min_size=3, max_size=3).map(
        lambda parts: ".".join(_text(part) for part in parts)
    )
)
def test_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse_token(text)
    except NotAuthenticated:
        return


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "1",
        "null",
        '{"alg":["ES384"]}',
        '{"alg":{}}',
        "{}",
        '{"alg":"ES384","kid":[1]}',
        '{"alg":"ES384","b64":false,"crit":["b64"]}',
        '{"alg":"ES384","kid":"ec-1","jku":{}}',
        "[" * 3000,
    ],
)
async def test_odd_headers_are_refused(door: Door, header: str) -> None:
    assert await door.refuses(f"{_text(header.encode())}.{_part(claims(URL))}.{_text(b'x' * 96)}")


@pytest.mark.parametrize(
    "content", [b"[]", b"null", b"{", b"\xff", b'{"iss":"\\ud800"}', b"[" * 9000, b'{"exp":1e999999}']
)
async def test_odd_claims_are_refused(door: Door, content: bytes) -> None:
    assert await door.refuses(signed(content))


async def test_an_overlong_token_is_refused(door: Door) -> None:
    assert await door.refuses(signed(claims(URL, padding="x" * 20_000)))


def _part(content: dict[str, Any]) -> str:
    return _text(json.dumps(content).encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
