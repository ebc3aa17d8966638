"""Callers of CDS Hooks endpoints: the JWT of a registered client on every call (CDS Hooks 2.0, Trusting clients)."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

from starlette.requests import Request

from service.access.clients import Clients
from service.access.proof import Expected, Proofs, parse_token
from service.access.refusal import bearer, not_authenticated
from service.ports import Caller

_LONGEST_LIFE: Final = timedelta(hours=1)
"""CDS Hooks recommends five minutes and sets no limit; a token that lives for days is a password."""


class JwtHookAccess:
    """wire.HookAccess for registered clients."""

    def __init__(self, clients: Clients, proofs: Proofs, base_url: str) -> None:
        self._clients = clients
        self._proofs = proofs
        self._base_url = base_url

    async def __call__(self, request: Request, body: bytes) -> Caller:
        """The client whose issuer signed the token for exactly this address.

        One token may come with several bodies, as real clients send it; a repetition of token, address and body
        is a replay.
        """
        token = parse_token(bearer(request.headers.get("authorization")))
        client = self._clients.by_issuer.get(token.claim("iss"))
        if client is None:
            raise not_authenticated()
        path = request.url.path
        expected = Expected(
            audience=f"{self._base_url}{path}",
            longest_life=_LONGEST_LIFE,
            issued_at_required=True,
            context=f"{request.method} {path} {hashlib.sha256(body).hexdigest()}",
        )
        await self._proofs.check(token, client, expected)
        return client.caller()
