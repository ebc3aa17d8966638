"""Bytes in, bytes out: how routes read a body, answer in FHIR, and ask who is calling."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from service.errors import TooLarge, TooSlow
from service.fhir.json import decode, encode
from service.ports import Caller, Resource
from service.settings import Settings

FHIR_JSON = "application/fhir+json"
BODY_SECONDS: Final = 60.0
"""Who sends more slowly holds a connection and memory of ours, and the largest body needs far less."""


class HookAccess(Protocol):
    """Who calls a CDS Hooks endpoint; raises NotAuthenticated or Forbidden. `body` serves the replay check."""

    async def __call__(self, request: Request, body: bytes) -> Caller: ...


class FhirAccess(Protocol):
    """Who calls a FHIR endpoint, holding `scope` (for example "system/Claim.cu"); raises like HookAccess."""

    async def __call__(self, request: Request, scope: str) -> Caller: ...


async def read_body(request: Request, settings: Settings) -> bytes:
    """The body as received; TooLarge beyond the limit, before the rest is read; TooSlow without an end."""
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                received += chunk
                if len(received) > settings.max_body_bytes:
                    raise TooLarge(f"The body is larger than the {settings.max_body_bytes} bytes that are read here.")
    except TimeoutError:
        raise TooSlow(f"The body did not arrive within {BODY_SECONDS:g} seconds. Send it again.") from None
    return bytes(received)


def read_json(body: bytes, settings: Settings) -> Any:
    """The body's JSON with numbers as written; InvalidResource when it is not JSON."""
    return decode(body, max_bytes=settings.max_body_bytes, max_depth=settings.max_depth)


def fhir_response(resource: Resource, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A FHIR JSON answer."""
    return Response(encode(resource), status_code=status, media_type=FHIR_JSON, headers=headers)
