"""Who may call a CDS Hooks endpoint: every claim wrong one at a time, and replays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from joserfc.jwk import ECKey

from service.errors import NotAuthenticated
from service.policy.case import ClientId
from service.ports import Caller
from tests.unit.access.door import BODY, PATH, SECONDS_NOW, URL, Door
from tests.unit.access.signing import (
    BASE,
    ISSUER,
    JWKS_URL,
    JwksServer,
    claims,
    ec_key,
    request,
    rsa_key,
    signed,
)


@pytest.mark.parametrize("audience", [URL, URL + "/", [URL], ["https://other.example.org", URL + "/"]])
async def test_a_registered_client_is_known(door: Door, audience: Any) -> None:
    caller = await door.enter(signed(claims(audience)))
    assert caller == Caller(
        ClientId("ehr-1"), frozenset({"system/Claim.cu", "system/Questionnaire.rs"}), frozenset({"1234567893"})
    )


async def test_rs384_is_as_good_and_the_scheme_has_no_case(door: Door) -> None:
    assert await door.enter(signed(claims(URL), rsa_key(), alg="RS384"), scheme="bearer")


WRONG_CLAIMS: dict[str, dict[str, Any]] = {
    "unknown issuer": {"iss": "https://other.example.org"},
    "issuer with a slash": {"iss": ISSUER + "/"},
    "no issuer": {"iss": None},
    "issuer is a list": {"iss": [ISSUER]},
    "no audience": {"aud": None},
    "another service": {"aud": f"{BASE}/cds-services/order-select-crd"},
    "the base only": {"aud": BASE},
    "longer path": {"aud": URL + "/feedback"},
    "prefix": {"aud": URL[:-1]},
    "another host": {"aud": URL.replace("payer", "other")},
    "audience is a number": {"aud": 1},
    "audience list of others": {"aud": [1, "x", None]},
    "expired": {"exp": SECONDS_NOW - 60},
    "no expiry": {"exp": None},
    "expiry as text": {"exp": str(SECONDS_NOW + 300)},
    "expiry is true": {"exp": True},
    "lives too long": {"exp": SECONDS_NOW + 3661},
    "never expires": {"exp": 10**30},
    "issued in the future": {"iat": SECONDS_NOW + 61},
    "no issue time": {"iat": None},
    "issue time as text": {"iat": "now"},
    "not yet valid": {"nbf": SECONDS_NOW + 61},
    "no token id": {"jti": None},
    "empty token id": {"jti": ""},
    "token id is a number": {"jti": 1},
}


@pytest.mark.parametrize("changes", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS.keys())
@pytest.mark.requirement("CRD sec-1")
async def test_one_wrong_claim_is_enough(door: Door, changes: dict[str, Any]) -> None:
    assert await door.refuses(signed(claims(URL, **changes)))


@pytest.mark.parametrize(
    "changes",
    [{"exp": SECONDS_NOW - 59}, {"iat": SECONDS_NOW + 60}, {"nbf": SECONDS_NOW + 60}, {"exp": SECONDS_NOW + 0.5}],
)
async def test_clocks_may_differ_by_a_minute(door: Door, changes: dict[str, Any]) -> None:
    assert await door.enter(signed(claims(URL, **changes)))


async def test_it_expires_as_time_passes(door: Door) -> None:
    token = signed(claims(URL))
    door.clock.advance(timedelta(minutes=6))
    assert await door.refuses(token)


async def test_no_token_and_other_schemes_are_refused(door: Door) -> None:
    token = signed(claims(URL))
    for headers in ({}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": f"Basic {token}"}):
        with pytest.raises(NotAuthenticated, match=r"^Nobody we know"):
            await door.access(request(PATH, headers), BODY)


@pytest.mark.requirement("CRD sec-1")
async def test_a_replay_is_the_same_token_path_and_body(door: Door) -> None:
    token = signed(claims([URL, f"{URL}/feedback"]))
    assert await door.enter(token)
    assert await door.refuses(token)
    assert await door.enter(token, body=b"{}")
    assert await door.enter(token, path=f"{PATH}/feedback")
    assert await door.refuses(token, body=b"{}")
    assert await door.refuses(signed(claims(URL, exp=SECONDS_NOW + 200)))


async def test_a_replay_is_refused_until_the_token_has_expired_for_certain(door: Door) -> None:
    token = signed(claims(URL))
    assert await door.enter(token)
    for _ in range(8):
        door.clock.advance(timedelta(seconds=50))
        assert await door.refuses(token)


async def test_a_refused_token_is_not_used_up(door: Door) -> None:
    assert await door.refuses(signed(claims(URL), ECKey.generate_key("P-384", {"kid": "ec-1"})))
    assert await door.enter(signed(claims(URL)))


async def test_nobody_calls_where_nobody_is_registered() -> None:
    nobody = Door(None, JwksServer(ec_key()))
    assert await nobody.refuses(signed(claims(URL)))
    assert await nobody.refuses(signed(claims(URL), jku=JWKS_URL))
    assert nobody.server.asked == []
    await nobody.http.aclose()


@pytest.mark.requirement("PAS spec-4")
async def test_nothing_of_a_token_is_logged(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    await door.enter(signed(claims(URL)))
    assert await door.refuses(signed(claims(URL)))
    assert "token-1" not in caplog.text
