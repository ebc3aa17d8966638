"""The app at its own payer's door: with a token of its own where an account is registered, and never without."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from service.dtr.app.assemble import OwnPayer
from service.dtr.app.payer import PayerDoor, PayerRefused
from service.ehr.app_key import new_key
from service.ehr.issuers import PayerAccount
from service.errors import EhrUnavailable
from service.settings import Settings
from tests.doubles import FrozenClock

KEY = new_key()
SETTINGS = Settings(public_url="https://payer.example.org")


@dataclass
class Base:
    """Our FHIR base: a token endpoint and $submit."""

    token: Any = field(default_factory=lambda: {"access_token": "t1", "expires_in": 300})
    status: int = 200
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.status == 0:
            raise httpx.ConnectError("down")
        if request.url.path == "/fhir/token":
            return httpx.Response(self.status, json=self.token)
        return httpx.Response(200, json={"resourceType": "Bundle"})

    def paths(self) -> list[str]:
        return [request.url.path for request in self.asked]


def payer(base: Base, clock: FrozenClock, *, account: bool = True) -> OwnPayer:
    client = httpx.AsyncClient(transport=httpx.MockTransport(base), base_url="http://127.0.0.1")
    return OwnPayer(PayerDoor(client, SETTINGS), PayerAccount("dtr-app", KEY) if account else None, clock)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(datetime(2026, 12, 1, 12, tzinfo=UTC))


async def test_a_registered_account_proves_itself_and_sends_its_token(clock: FrozenClock) -> None:
    base = Base()
    await payer(base, clock).submit({"resourceType": "Bundle"})
    asked, submitted = base.asked
    form = dict(parse_qsl(asked.content.decode()))
    claims = jwt.decode(form["client_assertion"], ECKey.import_key(KEY.public()), algorithms=["ES384"]).claims
    assert (claims["iss"], claims["aud"]) == ("dtr-app", "https://payer.example.org/fhir/token")
    assert (form["grant_type"], form["scope"]) == ("client_credentials", "system/Claim.cu")
    assert submitted.headers["authorization"] == "Bearer t1"


async def test_a_token_is_used_until_shortly_before_its_end(clock: FrozenClock) -> None:
    base = Base()
    own = payer(base, clock)
    for wait in (0, 200, 100):
        clock.advance(timedelta(seconds=wait))
        await own.submit({})
    assert base.paths() == [
        "/fhir/token",
        "/fhir/Claim/$submit",
        "/fhir/Claim/$submit",
        "/fhir/token",
        "/fhir/Claim/$submit",
    ]


@pytest.mark.parametrize(
    "answer", [{"token": {}}, {"status": 401}, {"token": {"access_token": "t", "expires_in": "x"}}]
)
async def test_without_a_token_nothing_is_sent(clock: FrozenClock, answer: dict[str, Any]) -> None:
    base = Base(**answer)
    with pytest.raises(PayerRefused):
        await payer(base, clock).submit({})
    assert base.paths() == ["/fhir/token"]


async def test_a_payer_that_cannot_be_reached_is_an_answer(clock: FrozenClock) -> None:
    with pytest.raises(EhrUnavailable):
        await payer(Base(status=0), clock).submit({})


async def test_with_no_account_no_token_is_asked_for(clock: FrozenClock) -> None:
    base = Base()
    await payer(base, clock, account=False).submit({})
    assert "authorization" not in base.asked[0].headers
