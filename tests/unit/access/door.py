"""A CDS Hooks endpoint's access with everything around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from service.access.clients import load_clients
from service.access.hooks import JwtHookAccess
from service.access.keys import KeyFinder
from service.access.proof import Proofs
from service.errors import NotAuthenticated
from service.ports import Caller
from service.store.memory import MemoryStore
from tests.doubles import FrozenClock
from tests.unit.access.signing import (
    BASE,
    NOW,
    JwksServer,
    request,
)

PATH = "/cds-services/order-sign-crd"
URL = f"{BASE}{PATH}"
BODY = b'{"hook": "order-sign"}'
SECONDS_NOW = int(NOW.timestamp())


NOBODY = "Nobody we know is calling. Send a valid bearer token of a registered client."


class Door:
    """A hook endpoint's access with everything around it."""

    def __init__(self, path: Path | None, server: JwksServer) -> None:
        self.clock = FrozenClock(NOW)
        self.server = server
        self.http = server.client()
        proofs = Proofs(KeyFinder(self.http, self.clock), MemoryStore(self.clock), self.clock)
        self.access = JwtHookAccess(load_clients(path), proofs, BASE)

    async def enter(self, token: str, *, path: str = PATH, body: bytes = BODY, scheme: str = "Bearer") -> Caller:
        return await self.access(request(path, {"Authorization": f"{scheme} {token}"}), body)

    async def refuses(self, token: str, **changes: Any) -> bool:
        try:
            await self.enter(token, **changes)
        except NotAuthenticated as refused:
            return refused.text == NOBODY
        return False
