"""Who the user is: an EHR's id_token, believed only when its signature and every claim hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from service.errors import Forbidden, ServiceError
from service.fhir.json import decode

SKEW: Final = timedelta(seconds=60)
# RS256 is OpenID Connect's own; SMART App Launch 2.2 names ES384 and RS384.
_ALGORITHMS: Final = ("RS256", "RS384", "ES256", "ES384")
_MAX_BYTES: Final = 16_000
_MAX_DEPTH: Final = 20


class LaunchRefused(Forbidden):
    """A launch that does not go on: the text says what to do, and nothing of codes or tokens."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token must say: one of these issuers, this client, this launch's nonce."""

    issuers: frozenset[str]
    client_id: str
    nonce: str


def read_id_token(text: str, key_set: Any, expected: Expected, now: datetime) -> Mapping[str, Any]:
    """The claims. LaunchRefused when anything does not hold; it never says what.

    A nonce may be missing (some authorization servers leave it out); one that is there must be ours.
    """
    try:
        keys = KeySet.import_key_set(key_set)
        signed = jws.deserialize_compact(text, keys, list(_ALGORITHMS))
        claims = decode(signed.payload or b"", max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except (JoseError, ServiceError, ValueError, TypeError, KeyError, AttributeError):
        raise _refused() from None
    if not isinstance(claims, dict) or not _holds(claims, expected, now):
        raise _refused()
    return claims


def _holds(claims: Mapping[str, Any], expected: Expected, now: datetime) -> bool:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    expires = claims.get("exp")
    if not isinstance(expires, int) or isinstance(expires, bool):
        return False
    return (
        str(claims.get("iss", "")).rstrip("/") in {issuer.rstrip("/") for issuer in expected.issuers}
        and expected.client_id in audiences
        and (len(audiences) == 1 or claims.get("azp") == expected.client_id)
        and claims.get("nonce", expected.nonce) == expected.nonce
        and expires > (now - SKEW).timestamp()
    )


def _refused() -> LaunchRefused:
    return LaunchRefused("Your EHR's word on who you are could not be verified. Open the app from the EHR again.")
