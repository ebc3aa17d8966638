"""The demo EHR's SMART authorization server: launches of its own making, two users, short-lived grants in memory."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from service.ehr.app_key import ASSERTION_TYPE, AppKey
from service.errors import NotAuthenticated, ServiceError
from service.fhir.build import Json
from service.fhir.json import decode
from service.ports import Clock

CLIENT_ID: Final = "dtr-app"
# Who may use the demo's app: practitioner ids of the clinic.
USERS: Final = ("oncologist", "nurse")
_CODE_LIFE: Final = timedelta(minutes=1)
_TOKEN_LIFE: Final = timedelta(minutes=15)
_BYTES: Final = 24
_MAX_BYTES: Final = 8000
_MAX_DEPTH: Final = 10

FetchKeys = Callable[[], Awaitable[Json]]
"""The registered app's key set, from the address that was registered for it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a launch is about: patient's id, references of the order and the coverage, the user's id.

    `app_context` is what a CDS client passed on to the app, as it came.
    """

    patient: str
    references: tuple[str, ...]
    user: str
    app_context: str | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a code or token stands for. Nothing of it is shown."""

    context: Context
    scope: str
    expires: datetime
    redirect_uri: str = ""
    challenge: str = field(default="", repr=False)
    nonce: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """Status and JSON of the token endpoint (RFC 6749 sections 5.1 and 5.2)."""

    status: int
    body: Mapping[str, Any]


class Authorization:
    """Launches, codes and tokens of one process. `base` is the FHIR base, `oauth` where these endpoints are."""

    def __init__(self, base: str, oauth: str, redirect_uri: str, tools: tuple[Clock, AppKey, FetchKeys]) -> None:
        self.base, self.oauth, self.redirect_uri = base, oauth, redirect_uri
        self._clock, self._key, self._app_keys = tools
        self._launches: dict[str, Context] = {}
        self._codes: dict[str, Grant] = {}
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._used: set[str] = set()

    def configuration(self) -> Json:
        """.well-known/smart-configuration (SMART App Launch 2.2)."""
        return {
            "issuer": self.base,
            "jwks_uri": f"{self.oauth}/jwks.json",
            "authorization_endpoint": f"{self.oauth}/authorize",
            "token_endpoint": f"{self.oauth}/token",
            "revocation_endpoint": f"{self.oauth}/revoke",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "response_types_supported": ["code"],
            "scopes_supported": ["launch", "openid", "fhirUser", "online_access", "patient/*.rs"],
            "code_challenge_methods_supported": ["S256"],
            "capabilities": [
                "launch-ehr",
                "client-confidential-asymmetric",
                "sso-openid-connect",
                "context-ehr-patient",
            ],
        }

    def key_set(self) -> Json:
        return {"keys": [self._key.public()]}

    def launch(self, context: Context) -> str:
        """A launch token for a click in the EHR."""
        token = secrets.token_urlsafe(_BYTES)
        self._launches[token] = context
        return token

    def authorize(self, asked: Mapping[str, str]) -> str | None:
        """Where to send the browser. None when client or redirect_uri are not the registered ones: nobody is told."""
        if asked.get("client_id") != CLIENT_ID or asked.get("redirect_uri") != self.redirect_uri:
            return None
        state = asked.get("state", "")
        context = self._launches.pop(asked.get("launch", ""), None)
        sound = asked.get("response_type") == "code" and asked.get("code_challenge_method") == "S256"
        if context is None or not sound or asked.get("aud", "").rstrip("/") != self.base or not state:
            return f"{self.redirect_uri}?{urlencode({'error': 'invalid_request', 'state': state})}"
        code = secrets.token_urlsafe(_BYTES)
        self._codes[code] = Grant(
            context=context,
            scope=asked.get("scope", ""),
            expires=self._clock.now() + _CODE_LIFE,
            redirect_uri=asked["redirect_uri"],
            challenge=asked.get("code_challenge", ""),
            nonce=asked.get("nonce"),
        )
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': state})}"

    async def token(self, form: Mapping[str, str]) -> TokenAnswer:
        """Tokens for a code or a refresh token; each code works once."""
        if not await self._is_client(form):
            return TokenAnswer(401, {"error": "invalid_client"})
        if form.get("grant_type") == "authorization_code":
            grant = self._codes.pop(form.get("code", ""), None)
            if grant is None or not self._proves(grant, form):
                return TokenAnswer(400, {"error": "invalid_grant"})
            return TokenAnswer(200, self._issue(grant))
        if form.get("grant_type") == "refresh_token":
            grant = self._refresh.pop(form.get("refresh_token", ""), None)
            return TokenAnswer(200, self._issue(grant)) if grant else TokenAnswer(400, {"error": "invalid_grant"})
        return TokenAnswer(400, {"error": "unsupported_grant_type"})

    def revoke(self, token: str) -> None:
        """RFC 7009: unknown tokens are no error."""
        self._access.pop(token, None)
        self._refresh.pop(token, None)

    def recognise(self, token: str) -> Grant:
        """What an access token stands for; NotAuthenticated."""
        grant = self._access.get(token)
        if grant is None or grant.expires <= self._clock.now():
            raise NotAuthenticated("The demo EHR does not know this access token.")
        return grant

    def _proves(self, grant: Grant, form: Mapping[str, str]) -> bool:
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return (
            grant.expires > self._clock.now()
            and form.get("redirect_uri") == grant.redirect_uri
            and secrets.compare_digest(challenge.encode(), grant.challenge.encode())
        )

    def _issue(self, grant: Grant) -> Json:
        now, context = self._clock.now(), grant.context
        access, refresh = secrets.token_urlsafe(_BYTES), secrets.token_urlsafe(_BYTES)
        held = Grant(context, grant.scope, now + _TOKEN_LIFE)
        self._access[access] = held
        self._refresh[refresh] = held
        claims = {
            "iss": self.base,
            "sub": context.user,
            "aud": CLIENT_ID,
            "iat": int(now.timestamp()),
            "exp": int((now + _TOKEN_LIFE).timestamp()),
            "fhirUser": f"{self.base}/Practitioner/{context.user}",
            **({"nonce": grant.nonce} if grant.nonce else {}),
        }
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": int(_TOKEN_LIFE.total_seconds()),
            "refresh_token": refresh,
            "scope": grant.scope,
            "id_token": self._key.sign(claims),
            "patient": context.patient,
            **({"appContext": context.app_context} if context.app_context else {}),
            **({"fhirContext": [{"reference": each} for each in context.references]} if context.references else {}),
        }

    async def _is_client(self, form: Mapping[str, str]) -> bool:
        """Whether the registered app signed this, for this endpoint, now, for the first time (RFC 7523)."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return False
        try:
            keys = KeySet.import_key_set(await self._app_keys())  # type: ignore[arg-type]  # checked by joserfc itself
            signed = jws.deserialize_compact(form.get("client_assertion", ""), keys, ["ES384", "RS384"])
            claims = decode(signed.payload or b"", max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
        except (JoseError, ServiceError, ValueError, TypeError, KeyError):
            return False
        if not isinstance(claims, dict) or not isinstance(claims.get("exp"), int):
            return False
        token_id = str(claims.get("jti", ""))
        sound = (claims.get("iss"), claims.get("sub"), claims.get("aud")) == (
            CLIENT_ID,
            CLIENT_ID,
            f"{self.oauth}/token",
        )
        if not sound or not token_id or token_id in self._used or claims["exp"] <= self._clock.now().timestamp():
            return False
        self._used.add(token_id)
        return True
