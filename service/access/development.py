"""Access for the demo: whoever works on this very machine, without a token."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from service.access.refusal import not_authenticated
from service.access.scopes import EVERYTHING
from service.policy.case import ClientId
from service.ports import Caller

DEMO: Final = ClientId("demo")
# A proxy on this machine would make every caller look local.
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class DevelopmentAccess:
    """`hook` is a wire.HookAccess, `fhir` a wire.FhirAccess. `origins` are browser origins that may call besides."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origins)

    async def hook(self, request: Request, body: bytes) -> Caller:  # noqa: ARG002 the port's signature
        return self._caller(request)

    async def fhir(self, request: Request, scope: str) -> Caller:  # noqa: ARG002 the port's signature
        return self._caller(request)

    def _caller(self, request: Request) -> Caller:
        """The demo's caller.

        The peer's address is not enough: a page of anybody's can make the user's browser call this machine, by
        its own name pointed here (the Host header tells) or across origins (the Origin header tells).
        """
        here = request.client is not None and _is_address_here(request.client.host)
        named_here = _is_here(f"//{request.headers.get('host', '')}")
        origin = request.headers.get("origin")
        from_here = origin is None or origin in self._origins or _is_here(origin)
        forwarded = any(name in request.headers for name in _FORWARDED)
        if not (here and named_here and from_here) or forwarded:
            raise not_authenticated()
        return Caller(DEMO, frozenset({EVERYTHING}))


def _is_here(address: str) -> bool:
    try:
        host = urlsplit(address).hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_address_here(host)


def _is_address_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
