"""SMART App Launch 2.2 as a confidential client of registered EHRs; every token stays on this side.

Errors are answers: LaunchRefused says that the launch ends here and what to do, EhrUnavailable that the EHR did not
answer. No text and no log line holds a code, a token or a patient.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpx

from service.ehr.address import Reach, server_within
from service.ehr.id_token import Expected, LaunchRefused, read_id_token
from service.ehr.issuers import Issuer, Registrations
from service.errors import EhrUnavailable, ServiceError
from service.fhir.json import decode
from service.ports import Clock

_MAX_BYTES: Final = 256_000
_MAX_DEPTH: Final = 30
_DEFAULT_LIFE: Final = 300
_LONGEST_LIFE: Final = 86_400
_RANDOM_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Endpoints:
    """An EHR's authorization server, from its .well-known/smart-configuration."""

    authorize: str
    token: str
    keys: str | None
    issuer: str | None
    revoke: str | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A launch that waits for the EHR's answer. `state` names it; nonce and verifier never leave this side."""

    issuer: Issuer
    endpoints: Endpoints
    state: str
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the EHR granted, and until when."""

    access: str = field(repr=False)
    refresh: str | None = field(repr=False)
    expires_at: datetime
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Granted:
    """A launch that came to its end: the EHR, the tokens, the patient's id, the user, and the context as received."""

    issuer: Issuer
    endpoints: Endpoints
    tokens: Tokens
    patient: str
    user: str | None
    fhir_context: Any
    app_context: Any


@dataclass(frozen=True, slots=True)
class SmartLaunch:
    """Begins and ends launches. `redirect_uri` is ours, as registered with every EHR."""

    registered: Registrations
    http: httpx.AsyncClient
    reach: Reach
    clock: Clock
    redirect_uri: str

    async def begin(self, iss: str, launch: str) -> tuple[str, Pending]:
        """Where to send the browser, and what to remember until it comes back.

        LaunchRefused for an issuer that is not registered.
        """
        issuer = self.registered.find(iss)
        if issuer is None:
            raise LaunchRefused("This app is not registered with the EHR that opened it. Ask your administrator.")
        endpoints = await self._discover(issuer)
        verifier, state, nonce = (secrets.token_urlsafe(_RANDOM_BYTES) for _ in range(3))
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": issuer.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": " ".join(issuer.scopes),
            "state": state,
            "aud": iss,
            "launch": launch,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        pending = Pending(issuer, endpoints, state, nonce, verifier, self.clock.now())
        return f"{endpoints.authorize}?{urlencode(query)}", pending

    async def finish(self, pending: Pending, code: str) -> Granted:
        """Exchanges the code. LaunchRefused when the EHR refuses it, or what it grants is not what was asked for."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": pending.verifier,
        }
        answer = await self._ask_token(pending.issuer, pending.endpoints, form)
        tokens = _tokens(answer, self.clock.now())
        patient = answer.get("patient")
        if tokens is None or not isinstance(patient, str) or not patient:
            raise LaunchRefused("The EHR named no patient. Open the app from a patient's chart.")
        return Granted(
            issuer=pending.issuer,
            endpoints=pending.endpoints,
            tokens=tokens,
            patient=patient,
            user=await self._user(pending, answer.get("id_token")),
            fhir_context=answer.get("fhirContext"),
            app_context=answer.get("appContext"),
        )

    async def refresh(self, granted: Granted) -> Tokens:
        """New tokens for a launch whose access token is about to end; LaunchRefused when the EHR gives none."""
        ended = LaunchRefused(
            "Your time in the EHR has ended. Open the app from the EHR again; drafts are kept there."
        )
        if granted.tokens.refresh is None:
            raise ended
        form = {"grant_type": "refresh_token", "refresh_token": granted.tokens.refresh}
        tokens = _tokens(await self._ask_token(granted.issuer, granted.endpoints, form), self.clock.now())
        if tokens is None:
            raise ended
        kept = tokens.refresh or granted.tokens.refresh
        return Tokens(tokens.access, kept, tokens.expires_at, tokens.scopes or granted.tokens.scopes)

    async def revoke(self, granted: Granted) -> None:
        """Tells the EHR that the tokens are no longer needed (RFC 7009), where it wants to know; never fails."""
        address = granted.endpoints.revoke
        if address is None:
            return
        held = granted.tokens.refresh or granted.tokens.access
        try:
            await self._post(granted.issuer, address, {"token": held}, granted.endpoints.token)
        except ServiceError:
            return

    async def _discover(self, issuer: Issuer) -> Endpoints:
        found = await self._get(f"{issuer.iss}/.well-known/smart-configuration")
        methods = found.get("code_challenge_methods_supported")
        if isinstance(methods, list) and "S256" not in methods:
            raise LaunchRefused("This EHR's authorization server does not take PKCE with S256.")
        return Endpoints(
            authorize=self._within(found.get("authorization_endpoint")),
            token=self._within(found.get("token_endpoint")),
            keys=self._within(found["jwks_uri"]) if found.get("jwks_uri") else None,
            issuer=found["issuer"] if isinstance(found.get("issuer"), str) else None,
            revoke=self._within(found["revocation_endpoint"]) if found.get("revocation_endpoint") else None,
        )

    def _within(self, address: Any) -> str:
        if not isinstance(address, str) or server_within(address, self.reach) is None:
            raise LaunchRefused("This EHR's authorization server is not at an address that is registered here.")
        return address

    async def _user(self, pending: Pending, id_token: Any) -> str | None:
        """The fhirUser of a verified id_token; None when the EHR sent none."""
        if not isinstance(id_token, str):
            return None
        if pending.endpoints.keys is None:
            raise LaunchRefused("The EHR signs who you are with keys that it does not publish.")
        issuers = frozenset({pending.issuer.iss, pending.endpoints.issuer or pending.issuer.iss})
        expected = Expected(issuers, pending.issuer.client_id, pending.nonce)
        claims = read_id_token(id_token, await self._get(pending.endpoints.keys), expected, self.clock.now())
        user = claims.get("fhirUser") or claims.get("profile")
        return user if isinstance(user, str) else None

    async def _ask_token(self, issuer: Issuer, endpoints: Endpoints, form: dict[str, str]) -> dict[str, Any]:
        return await self._post(issuer, endpoints.token, form, endpoints.token)

    async def _post(self, issuer: Issuer, address: str, form: dict[str, str], audience: str) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if issuer.method == "private_key_jwt" and issuer.key is not None:
            form = {**form, **issuer.key.assertion(issuer.client_id, audience, self.clock.now())}
        elif issuer.method == "secret":
            # RFC 6749 section 2.3.1: both parts are encoded as in a form before they are joined.
            pair = f"{quote(issuer.client_id, safe='')}:{quote(issuer.secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form = {**form, "client_id": issuer.client_id}
        return await self._send(self.http.build_request("POST", address, data=form, headers=headers))

    async def _get(self, address: str) -> dict[str, Any]:
        return await self._send(self.http.build_request("GET", address, headers={"Accept": "application/json"}))

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """Sends once more what changes nothing, where a kept connection was closed at the other end by then."""
        try:
            return await self.http.send(request, stream=True)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if request.method != "GET":
                raise
            return await self.http.send(request, stream=True)

    async def _send(self, request: httpx.Request) -> dict[str, Any]:
        """The JSON object of an answer. LaunchRefused for a 4xx, EhrUnavailable for anything else but success."""
        try:
            answer = await self._sent(request)
            try:
                body = await _body(answer)
            finally:
                await answer.aclose()
        except (httpx.HTTPError, httpx.InvalidURL):
            raise EhrUnavailable("The EHR could not be reached. Try again in a moment.") from None
        if 400 <= answer.status_code < 500:
            raise LaunchRefused("The EHR refused the app. Open the app from the EHR again.")
        if not answer.is_success:
            raise EhrUnavailable("The EHR did not answer as it should. Try again in a moment.")
        try:
            read = decode(body, max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
        except ServiceError:
            raise EhrUnavailable("The EHR's answer could not be read.") from None
        return _object(read)


def _object(read: Any) -> dict[str, Any]:
    if not isinstance(read, dict):
        raise EhrUnavailable("The EHR's answer could not be read.")
    return read


async def _body(answer: httpx.Response) -> bytes:
    received = bytearray()
    async for chunk in answer.aiter_bytes():
        received += chunk
        if len(received) > _MAX_BYTES:
            raise EhrUnavailable("The EHR's answer is larger than what is read here.")
    return bytes(received)


def _tokens(answer: Mapping[str, Any], now: datetime) -> Tokens | None:
    access, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(access, str) or str(answer.get("token_type", "")).casefold() != "bearer":
        return None
    life = answer.get("expires_in")
    seconds = life if isinstance(life, int) and not isinstance(life, bool) else _DEFAULT_LIFE
    return Tokens(
        access=access,
        refresh=refresh if isinstance(refresh, str) else None,
        expires_at=now + timedelta(seconds=max(0, min(seconds, _LONGEST_LIFE))),
        scopes=frozenset(str(answer.get("scope", "")).split()),
    )
