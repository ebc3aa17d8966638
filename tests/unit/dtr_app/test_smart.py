"""SMART launches against an authorization server of these tests: what is asked, what is believed, what is refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from service.ehr.address import Reach
from service.ehr.app_key import AppKey, load_key, new_key
from service.ehr.id_token import LaunchRefused
from service.ehr.issuers import Issuer, load_registrations, registrations
from service.ehr.smart import Granted, SmartLaunch
from service.errors import EhrUnavailable, InvalidPolicy
from tests.doubles import FrozenClock

ISS = "https://ehr.example.org/fhir"
HOME = "https://payer.example.org/dtr/callback"
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
EHR_KEY = new_key()


@dataclass
class Server:
    """An EHR's authorization server; each part of what it says can be changed."""

    configuration: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    key: AppKey = EHR_KEY
    nonce: str = ""
    asked: list[httpx.Request] = field(default_factory=list)
    broken: int = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.broken:
            self.broken -= 1
            raise httpx.ReadError("the connection was closed")
        path = request.url.path
        if path.endswith("smart-configuration"):
            return httpx.Response(200, json=self._configuration())
        if path.endswith("/keys"):
            return httpx.Response(200, json={"keys": [EHR_KEY.public()]})
        return httpx.Response(self.status, json=self._tokens())

    def form(self) -> dict[str, str]:
        """What the token endpoint was sent last."""
        sent = [request for request in self.asked if request.method == "POST"][-1]
        return dict(parse_qsl(sent.content.decode()))

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": ISS,
            "jwks_uri": "https://ehr.example.org/keys",
            "authorization_endpoint": "https://ehr.example.org/authorize",
            "token_endpoint": "https://ehr.example.org/token",
            "code_challenge_methods_supported": ["S256"],
        } | self.configuration

    def _tokens(self) -> dict[str, Any]:
        exp = int((NOW + timedelta(minutes=5)).timestamp())
        claims = {"iss": ISS, "aud": "us", "exp": exp, "nonce": self.nonce, "fhirUser": "Practitioner/7"}
        return {
            "access_token": "secret-access",
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": "secret-refresh",
            "scope": "openid",
            "patient": "p1",
            "id_token": self.key.sign(claims | self.claims),
        } | self.answer


def launching(server: Server, **issuer: Any) -> SmartLaunch:
    fields = {"iss": ISS, "name": "EHR", "client_id": "us", "method": "public", **issuer}
    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    reach = Reach(frozenset({"ehr.example.org"}))
    return SmartLaunch(registrations([Issuer(**fields)]), http, reach, FrozenClock(NOW), HOME)


async def finished(server: Server, **issuer: Any) -> Granted:
    launch = launching(server, **issuer)
    _, pending = await launch.begin(ISS, "launch-token")
    server.nonce = pending.nonce
    return await launch.finish(pending, "the-code")


async def test_the_browser_is_sent_with_state_nonce_and_challenge_and_never_with_the_verifier() -> None:
    address, pending = await launching(Server()).begin(ISS, "launch-token")
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    digest = hashlib.sha256(pending.verifier.encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert (asked["aud"], asked["launch"], asked["redirect_uri"]) == (ISS, "launch-token", HOME)
    assert (asked["state"], asked["nonce"]) == (pending.state, pending.nonce)
    assert pending.verifier not in address


async def test_the_code_is_exchanged_with_the_verifier_and_the_user_is_known() -> None:
    server = Server()
    granted = await finished(server)
    assert (granted.patient, granted.user, granted.tokens.access) == ("p1", "Practitioner/7", "secret-access")
    assert server.form()["code"] == "the-code"
    assert "secret" not in repr(granted)


async def test_the_code_goes_with_the_verifier_of_the_challenge() -> None:
    server = Server()
    launch = launching(server)
    address, pending = await launch.begin(ISS, "launch-token")
    server.nonce = pending.nonce
    await launch.finish(pending, "the-code")
    digest = hashlib.sha256(server.form()["code_verifier"].encode()).digest()
    asked = parse_qs(urlsplit(address).query)
    assert asked["code_challenge"] == [base64.urlsafe_b64encode(digest).rstrip(b"=").decode()]


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
async def test_a_token_that_no_key_of_the_ehr_signed_is_refused(algorithm: str) -> None:
    """Not signed at all, or signed with what everybody knows: the public key, taken for a secret."""
    server = Server()
    launch = launching(server)
    _, pending = await launch.begin(ISS, "launch-token")
    exp = int((NOW + timedelta(minutes=5)).timestamp())
    claims = {"iss": ISS, "aud": "us", "exp": exp, "nonce": pending.nonce, "fhirUser": "Practitioner/7"}
    parts = [{"alg": algorithm, "kid": EHR_KEY.kid}, claims]
    text = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    secret = json.dumps(EHR_KEY.public()).encode()
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest() if algorithm == "HS256" else b""
    server.answer = {"id_token": f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"}
    with pytest.raises(LaunchRefused):
        await launch.finish(pending, "the-code")


async def test_a_secret_is_sent_as_basic_authorization() -> None:
    server = Server()
    await finished(server, method="secret", secret="s:1")
    sent = server.asked[-2].headers["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"us:s%3A1"


async def test_a_signed_assertion_names_us_and_the_token_endpoint() -> None:
    server, key = Server(), new_key()
    await finished(server, method="private_key_jwt", key=key)
    public = ECKey.import_key(key.public())
    claims = jwt.decode(server.form()["client_assertion"], public, algorithms=["ES384"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("us", "us", "https://ehr.example.org/token")
    assert 0 < claims["exp"] - NOW.timestamp() <= 300


async def test_an_issuer_that_is_not_registered_is_never_called() -> None:
    server = Server()
    with pytest.raises(LaunchRefused):
        await launching(server).begin("https://elsewhere.example.org/fhir", "x")
    assert server.asked == []


@pytest.mark.parametrize(
    "configuration",
    [
        {"token_endpoint": "https://elsewhere.example.org/token"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": "http://ehr.example.org/keys"},
        {"code_challenge_methods_supported": ["plain"]},
        {"token_endpoint": None},
    ],
)
async def test_an_authorization_server_elsewhere_or_without_pkce_is_refused(configuration: dict[str, Any]) -> None:
    with pytest.raises(LaunchRefused):
        await launching(Server(configuration=configuration)).begin(ISS, "x")


@pytest.mark.parametrize(
    "change",
    [
        lambda s: setattr(s, "claims", {"iss": "https://elsewhere.example.org"}),
        lambda s: setattr(s, "claims", {"aud": "somebody-else"}),
        lambda s: setattr(s, "claims", {"aud": ["us", "somebody-else"]}),
        lambda s: setattr(s, "claims", {"nonce": "another"}),
        lambda s: setattr(s, "claims", {"exp": int((NOW - timedelta(minutes=2)).timestamp())}),
        lambda s: setattr(s, "claims", {"exp": None}),
        lambda s: setattr(s, "key", new_key()),
        lambda s: setattr(s, "answer", {"id_token": "not.a.token"}),
        lambda s: setattr(s, "configuration", {"jwks_uri": None}),
        lambda s: setattr(s, "answer", {"patient": None}),
        lambda s: setattr(s, "answer", {"token_type": "mac"}),
        lambda s: setattr(s, "status", 400),
    ],
    ids=[
        "iss",
        "aud",
        "audiences",
        "nonce",
        "expired",
        "no exp",
        "key",
        "malformed",
        "no keys",
        "patient",
        "type",
        "400",
    ],
)
async def test_what_does_not_hold_ends_the_launch(change: Callable[[Server], None]) -> None:
    server = Server()
    change(server)
    with pytest.raises(LaunchRefused) as refused:
        await finished(server)
    assert "secret" not in refused.value.text


async def test_a_failing_ehr_is_an_answer() -> None:
    with pytest.raises(EhrUnavailable):
        await finished(Server(status=503))


async def test_what_changes_nothing_is_asked_once_more_on_a_closed_connection() -> None:
    server = Server(broken=1)
    assert (await finished(server)).patient == "p1"
    server = Server(broken=2)
    with pytest.raises(EhrUnavailable):
        await launching(server).begin(ISS, "x")
    assert len(server.asked) == 2


async def test_a_code_is_sent_once() -> None:
    server = Server()
    launch = launching(server)
    _, pending = await launch.begin(ISS, "x")
    server.broken = 1
    with pytest.raises(EhrUnavailable):
        await launch.finish(pending, "the-code")
    assert [request.method for request in server.asked] == ["GET", "POST"]


async def test_a_missing_nonce_and_a_missing_id_token_are_tolerated() -> None:
    server = Server(answer={"id_token": None})
    assert (await finished(server)).user is None


async def test_refreshing_keeps_the_refresh_token_when_no_new_one_comes() -> None:
    server = Server()
    granted = await finished(server)
    server.answer = {"access_token": "second", "refresh_token": None}
    tokens = await launching(server).refresh(granted)
    assert (tokens.access, tokens.refresh) == ("second", "secret-refresh")
    assert server.form()["grant_type"] == "refresh_token"
    assert server.form()["refresh_token"] == "secret-refresh"


@pytest.mark.parametrize("status", [200, 400])
async def test_without_new_tokens_the_user_is_told_to_come_back(status: int) -> None:
    server = Server(answer={"refresh_token": None} if status == 200 else {})
    granted = await finished(server)
    server.status = status
    with pytest.raises(LaunchRefused):
        await launching(server).refresh(granted)


async def test_tokens_are_given_back_where_the_ehr_takes_them_and_a_refusal_is_no_failure() -> None:
    server = Server(configuration={"revocation_endpoint": "https://ehr.example.org/revoke"})
    granted = await finished(server, method="private_key_jwt", key=new_key())
    await launching(server, method="private_key_jwt", key=new_key()).revoke(granted)
    assert server.asked[-1].url.path == "/revoke"
    assert server.form()["token"] == "secret-refresh"
    assert "client_assertion" in server.form()
    server.status = 503
    await launching(server).revoke(granted)


def test_registered_ehrs_are_read_from_a_file(tmp_path: Path) -> None:
    key = RSAKey.generate_key(2048, private=True)
    (tmp_path / "app.pem").write_bytes(key.as_pem(private=True))
    file = tmp_path / "issuers.toml"
    file.write_text(
        f'[[issuer]]\niss = "{ISS}/"\nname = "EHR"\nclient_id = "us"\nclient = "clinic"\n'
        'auth = "private_key_jwt"\nkey_file = "app.pem"\n'
        '[payer]\nclient_id = "dtr-app"\nkey_file = "app.pem"\n'
    )
    read = load_registrations(file)
    issuer = read.find(ISS)
    assert issuer is not None
    assert (issuer.client, issuer.origins) == ("clinic", ("https://ehr.example.org",))
    assert read.hosts == frozenset({"ehr.example.org"})
    assert [k.public()["alg"] for k in read.keys] == ["RS384"]
    assert "d" not in read.keys[0].public()


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ('auth = "secret"', "no secret"),
        ('auth = "private_key_jwt"', "no key_file"),
        ('auth = "private_key_jwt"\nkey_file = "gone.pem"', "cannot be read"),
        ('auth = "none"', "auth"),
        ('auth = "public"\nsurplus = 1', "surplus"),
    ],
)
def test_a_file_that_cannot_be_used_says_where(tmp_path: Path, entry: str, told: str) -> None:
    file = tmp_path / "issuers.toml"
    file.write_text(f'[[issuer]]\niss = "{ISS}"\nname = "EHR"\nclient_id = "us"\n{entry}\n')
    with pytest.raises(InvalidPolicy, match=told):
        load_registrations(file)


def test_a_public_key_is_no_key_to_sign_with(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(ECKey.generate_key("P-384", private=True).as_pem(private=False))
    with pytest.raises(ValueError, match="public"):
        load_key(path)
