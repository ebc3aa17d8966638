"""A client's signed JWT: parsed, then believed only when its signature and every claim hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Protocol

from joserfc import jws
from joserfc.errors import JoseError

from service.access.clients import Client
from service.access.keys import KeyFinder
from service.access.refusal import not_authenticated
from service.errors import ServiceError
from service.fhir.json import decode
from service.ports import Clock

SKEW: Final = timedelta(seconds=60)
"""How far a client's clock may be from ours."""

_MAX_CLAIM_BYTES: Final = 16_000
_MAX_DEPTH: Final = 20
_KEY_TYPE: Final = {"ES384": "EC", "RS384": "RSA", "RS256": "RSA"}


class _Registry(jws.JWSRegistry):
    """joserfc's rules; a header with a long jku and kid is longer than it expects."""

    max_header_length = 4096


class UsedTokens(Protocol):
    """The part of the store that knows which tokens were used."""

    async def first_use(self, issuer: str, token_id: str, context: str, expires: datetime) -> bool: ...


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A JWT as received. Nothing in it is true before `Proofs.check`."""

    text: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    def claim(self, name: str) -> str:
        """A claim that must be text; NotAuthenticated otherwise."""
        value = self.claims.get(name)
        if not isinstance(value, str) or not value:
            raise not_authenticated()
        return value


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say for one use: its audience, how long it may live from now, whether it has an iat."""

    audience: str
    longest_life: timedelta
    issued_at_required: bool
    context: str


def parse_token(text: str) -> SignedToken:
    """Takes a compact JWS apart without believing it; NotAuthenticated when it is none."""
    if text.count(".") != 2:
        raise not_authenticated()
    try:
        compact = jws.extract_compact(text.encode(), registry=_Registry(strict_check_header=False))
        claims = decode(compact.payload or b"", max_bytes=_MAX_CLAIM_BYTES, max_depth=_MAX_DEPTH)
    except (JoseError, ServiceError, ValueError, TypeError, RecursionError):
        raise not_authenticated() from None
    header = compact.headers()
    # "crit" names extensions that must be understood; we understand none.
    if not isinstance(claims, dict) or "crit" in header:
        raise not_authenticated()
    return SignedToken(text, header, claims)


class Proofs:
    """Checks tokens of clients; each counts once per use."""

    def __init__(self, keys: KeyFinder, used: UsedTokens, clock: Clock) -> None:
        self._keys = keys
        self._used = used
        self._clock = clock

    async def check(self, token: SignedToken, client: Client, expected: Expected) -> None:
        """Returns when the client really signed this, for us, now, and for the first time; else NotAuthenticated."""
        await self._check_signature(token, client)
        expires = _check_claims(token.claims, expected, self._clock.now())
        first = await self._used.first_use(token.claim("iss"), token.claim("jti"), expected.context, expires + SKEW)
        if not first:
            raise not_authenticated()

    async def _check_signature(self, token: SignedToken, client: Client) -> None:
        algorithm, kid, jku = (token.header.get(name) for name in ("alg", "kid", "jku"))
        if algorithm not in client.algorithms or not isinstance(kid, str) or not isinstance(jku, str | None):
            raise not_authenticated()
        if str(token.header.get("typ", "JWT")).upper() != "JWT":
            raise not_authenticated()
        # The type of key follows from the algorithm: a public key can never serve as another algorithm's secret.
        key = await self._keys.find(client, kid, _KEY_TYPE[algorithm], jku)
        if key is None:
            raise not_authenticated()
        try:
            jws.deserialize_compact(token.text, key, [algorithm], _Registry(None, [algorithm], False))
        except (JoseError, ValueError):
            raise not_authenticated() from None


def _check_claims(claims: Mapping[str, Any], expected: Expected, now: datetime) -> datetime:
    """When the token expires, if its audience, times and id hold."""
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if expected.audience.rstrip("/") not in [one.rstrip("/") for one in audiences if isinstance(one, str)]:
        raise not_authenticated()
    expires, issued, begins = (_seconds(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None or (issued is None and expected.issued_at_required):
        raise not_authenticated()
    moment, skew = Decimal(str(now.timestamp())), Decimal(SKEW.seconds)
    if not moment - skew < expires <= moment + skew + Decimal(str(expected.longest_life.total_seconds())):
        raise not_authenticated()
    if any(start is not None and start > moment + skew for start in (issued, begins)):
        raise not_authenticated()
    return datetime.fromtimestamp(float(expires), UTC)


def _seconds(claims: Mapping[str, Any], name: str) -> Decimal | None:
    """A NumericDate (RFC 7519 section 2), None when absent."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise not_authenticated()
    return Decimal(value)
