"""Our own signing keys: what proves the SMART app to an EHR and to a payer (private_key_jwt)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# SMART App Launch 2.2, asymmetric client authentication: at most five minutes.
_LIFE: Final = timedelta(minutes=4)
_CURVE: Final = "P-384"
_MIN_RSA_BITS: Final = 2048


class UnusableKeyFile(ValueError):
    """A key file that cannot sign; the text says why and shows nothing of it."""


@dataclass(frozen=True, slots=True)
class AppKey:
    """A private key with its id and the JWS algorithm that it signs with (ES384 or RS384)."""

    kid: str
    algorithm: str
    key: ECKey | RSAKey = field(repr=False)

    def public(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        shown = dict(self.key.as_dict(private=False))
        return {**shown, "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A compact JWS of these claims."""
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT"}
        return jwt.encode(header, dict(claims), self.key, algorithms=[self.algorithm])

    def assertion(self, client_id: str, audience: str, now: datetime) -> dict[str, str]:
        """The form fields by which a client proves itself to a token endpoint (RFC 7523)."""
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "iat": int(now.timestamp()),
            "exp": int((now + _LIFE).timestamp()),
            "jti": secrets.token_urlsafe(24),
        }
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": self.sign(claims)}


def new_key() -> AppKey:
    """A fresh EC key, for as long as this process lives."""
    return AppKey(secrets.token_urlsafe(12), "ES384", ECKey.generate_key(_CURVE, private=True))


def load_key(path: Path) -> AppKey:
    """A private key from a PEM file or a JSON Web Key: EC P-384, or RSA of 2048 bits or more. UnusableKeyFile."""
    try:
        content = path.read_bytes()
    except OSError:
        raise UnusableKeyFile("the key file cannot be read") from None
    for kind, algorithm in ((ECKey, "ES384"), (RSAKey, "RS384")):
        try:
            key = kind.import_key(content)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if not key.is_private:
            raise UnusableKeyFile("the key file holds a public key")
        return AppKey(_kid(key), algorithm, _strong(key))
    raise UnusableKeyFile("the key file holds neither an EC nor an RSA key")


def _kid(key: ECKey | RSAKey) -> str:
    return str(key.kid or key.thumbprint())


def _strong(key: ECKey | RSAKey) -> ECKey | RSAKey:
    if isinstance(key, ECKey):
        if key.curve_name != _CURVE:
            raise UnusableKeyFile("an EC key is on the curve P-384")
    elif key.raw_value.key_size < _MIN_RSA_BITS:
        raise UnusableKeyFile("an RSA key has 2048 bits or more")
    return key
