"""Keys, tokens and requests for the tests of access."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from starlette.requests import Request

NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
BASE = "https://payer.example.org/pa"
ISSUER = "https://ehr.example.org"
JWKS_URL = "https://ehr.example.org/jwks.json"


class _AnyHeader(jws.JWSRegistry):
    """joserfc without its checks of what it signs: a caller may send anything."""

    def check_header(self, header: dict[str, Any]) -> None:
        """Everything goes."""


@cache
def ec_key(kid: str = "ec-1", curve: str = "P-384") -> ECKey:
    return ECKey.generate_key(curve, {"kid": kid})


@cache
def rsa_key(kid: str = "rsa-1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


def public(*keys: ECKey | RSAKey) -> dict[str, Any]:
    return {"keys": [key.as_dict(private=False) for key in keys]}


def client_file(folder: Path, text: str = "", *, keys: dict[str, Any] | None = None) -> Path:
    """A file with one client; `text` adds to it or, with [[client]] in it, stands for itself."""
    (folder / "ehr.jwks.json").write_text(json.dumps(keys or public(ec_key(), rsa_key())))
    path = folder / "clients.toml"
    path.write_text(text if "[[client]]" in text else f"{_CLIENT}{text}")
    return path


_CLIENT = f"""
[[client]]
id = "ehr-1"
name = "Example EHR"
issuers = ["{ISSUER}"]
scopes = ["system/Claim.cu", "system/Questionnaire.rs"]
npis = ["1234567893"]
jwks_file = "ehr.jwks.json"
"""


def claims(audience: Any, **changes: Any) -> dict[str, Any]:
    """Claims that hold at NOW; a change to None leaves the claim out."""
    made = {
        "iss": ISSUER,
        "aud": audience,
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(minutes=5)).timestamp()),
        "jti": "token-1",
    }
    return {name: value for name, value in {**made, **changes}.items() if value is not None}


def signed(content: Mapping[str, Any] | bytes, key: ECKey | RSAKey | OctKey | None = None, **header: Any) -> str:
    """A compact JWS; ES384 with the first EC key unless told otherwise. A header of None is left out."""
    signer = ec_key() if key is None else key
    made = {"alg": "ES384", "kid": signer.kid, "typ": "JWT", **header}
    kept = {name: value for name, value in made.items() if value is not None}
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    registry = _AnyHeader(algorithms=[kept["alg"]], strict_check_header=False)
    return jws.serialize_compact(kept, payload, signer, registry=registry)


def request(path: str, headers: Mapping[str, str] | None = None, *, peer: str | None = "127.0.0.1") -> Request:
    return Request(
        {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "server": ("127.0.0.1", 8080),
            "client": None if peer is None else (peer, 50000),
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
        }
    )


class JwksServer:
    """A web server of key sets: what it serves can be changed, what it was asked is kept."""

    def __init__(self, *keys: ECKey | RSAKey) -> None:
        self.answer = httpx.Response(200, json=public(*keys)) if keys else httpx.Response(404)
        self.asked: list[str] = []

    def serve(self, *keys: ECKey | RSAKey) -> None:
        self.answer = httpx.Response(200, json=public(*keys))

    def client(self) -> httpx.AsyncClient:
        # Redirects would be followed if the code did not say otherwise.
        return httpx.AsyncClient(transport=httpx.MockTransport(self._respond), follow_redirects=True)

    def _respond(self, asked: httpx.Request) -> httpx.Response:
        self.asked.append(str(asked.url))
        # A response object can be sent once: its stream is used up.
        return httpx.Response(self.answer.status_code, headers=self.answer.headers, content=self.answer.content)
