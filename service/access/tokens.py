"""SMART Backend Services: access tokens against a client's signed assertion, and what they then open."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from starlette.requests import Request

from service.access.clients import Client, Clients
from service.access.proof import Expected, Proofs, parse_token
from service.access.refusal import bearer, not_authenticated
from service.access.scopes import covers, grant
from service.errors import Forbidden, NotAuthenticated
from service.policy.case import ClientId
from service.ports import Caller, Clock

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_LIFE: Final = timedelta(minutes=5)
_TOKEN_BYTES: Final = 32


class AccessTokens(Protocol):
    """The part of the store that keeps issued tokens, by the SHA-256 of their text.

    Random and looked up, not signed: every worker sees them, one can be withdrawn, and there is no key to guard.
    """

    async def save_access_token(
        self, digest: str, client: ClientId, scopes: frozenset[str], expires: datetime
    ) -> None: ...

    async def access_token(self, digest: str) -> tuple[ClientId, frozenset[str], datetime] | None: ...


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Status and JSON of the token endpoint (RFC 6749 sections 5.1 and 5.2)."""

    status: int
    body: Mapping[str, Any]


class IssuedTokens:
    """Makes access tokens and recognises them."""

    def __init__(self, store: AccessTokens, clock: Clock, seconds: int) -> None:
        self._store = store
        self._clock = clock
        self.seconds = seconds

    async def issue(self, client: ClientId, scopes: frozenset[str]) -> str:
        """A new token; only its digest is kept."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        expires = self._clock.now() + timedelta(seconds=self.seconds)
        await self._store.save_access_token(_digest(token), client, scopes, expires)
        return token

    async def recognise(self, token: str) -> tuple[ClientId, frozenset[str]] | None:
        """Whose token it is and its scopes, until it expires."""
        found = await self._store.access_token(_digest(token))
        if found is None or found[2] <= self._clock.now():
            return None
        return found[0], found[1]


class TokenEndpoint:
    """The logic of POST .../token: client_credentials with private_key_jwt."""

    def __init__(self, clients: Clients, proofs: Proofs, issued: IssuedTokens, url: str) -> None:
        self._clients = clients
        self._proofs = proofs
        self._issued = issued
        self.url = url

    async def answer(self, form: Mapping[str, str]) -> TokenAnswer:
        """A token for what of the requested scopes the client may have, or the RFC's error."""
        grant_type = form.get("grant_type")
        if not grant_type:
            return _error("invalid_request", "grant_type is missing.")
        if grant_type != "client_credentials":
            return _error("unsupported_grant_type", "Send grant_type=client_credentials.")
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            return _error("invalid_request", f"Send client_assertion and client_assertion_type={ASSERTION_TYPE}.")
        try:
            client = await self._client(form["client_assertion"], form.get("client_id"))
        except NotAuthenticated:
            return _error("invalid_client", "The client assertion is not valid.", status=401)
        scopes = _granted(form.get("scope", ""), client)
        if not scopes:
            return _error("invalid_scope", "None of the requested scopes is open to this client.")
        return TokenAnswer(
            200,
            {
                "access_token": await self._issued.issue(client.id, scopes),
                "token_type": "bearer",
                "expires_in": self._issued.seconds,
                "scope": " ".join(sorted(scopes)),
            },
        )

    async def _client(self, assertion: str, client_id: str | None) -> Client:
        token = parse_token(assertion)
        issuer = token.claim("iss")
        client = self._clients.by_id.get(issuer)
        if client is None or token.claim("sub") != issuer or client_id not in {None, issuer}:
            raise not_authenticated()
        expected = Expected(audience=self.url, longest_life=_LONGEST_LIFE, issued_at_required=False, context="token")
        await self._proofs.check(token, client, expected)
        return client


class BearerFhirAccess:
    """wire.FhirAccess for access tokens that we issued."""

    def __init__(self, clients: Clients, issued: IssuedTokens) -> None:
        self._clients = clients
        self._issued = issued

    async def __call__(self, request: Request, scope: str) -> Caller:
        """The registered client that holds the token; Forbidden when the token lacks the scope."""
        found = await self._issued.recognise(bearer(request.headers.get("authorization")))
        client = None if found is None else self._clients.by_id.get(found[0])
        if found is None or client is None:
            raise not_authenticated()
        # What was taken from the client since the token was issued is no longer in it.
        held = frozenset(part for one in found[1] for part in grant(one, client.scopes))
        if not covers(held, scope):
            raise Forbidden(f"The access token does not hold {scope}. Ask the token endpoint for that scope.")
        return client.caller(held)


def _granted(requested: str, client: Client) -> frozenset[str]:
    return frozenset(part for scope in requested.split() for part in grant(scope, client.scopes))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _error(code: str, description: str, *, status: int = 400) -> TokenAnswer:
    return TokenAnswer(status, {"error": code, "error_description": description})
