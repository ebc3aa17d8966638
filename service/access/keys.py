"""The key that a client's token names: pinned at registration, or fetched from an address registered for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from service.access.clients import Client
from service.access.jwks import Key, Keys, UnusableKey, served_keys
from service.errors import ServiceError
from service.fhir.json import decode
from service.ports import Clock

_SECONDS: Final = 3.0
_MAX_BYTES: Final = 256_000
_MAX_DEPTH: Final = 20
_MAX_AGE: Final = timedelta(hours=1)
# Anybody can send a token with an unknown kid: between two fetches of one address passes at least this long.
_PAUSE: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class _Served:
    """What an address served, when, and when it was last asked."""

    keys: Keys
    fetched_at: datetime
    asked_at: datetime


class KeyFinder:
    """Finds keys. Remembers what was fetched for at most an hour, so that a withdrawn key stops working."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._served: dict[str, _Served] = {}
        self._asking: dict[str, asyncio.Lock] = {}

    async def find(self, client: Client, kid: str, key_type: str, jku: str | None) -> Key | None:
        """The client's key of that id and type ("EC", "RSA"), or None.

        A token that names its key set's address must name a registered one, whoever holds the key.
        """
        if jku is not None and jku not in client.jwks_urls:
            return None
        pinned = _pick(client.keys, kid, key_type)
        if pinned is not None:
            return pinned
        for address in (jku,) if jku is not None else client.jwks_urls:
            key = await self._fetched(address, kid, key_type)
            if key is not None:
                return key
        return None

    async def _fetched(self, address: str, kid: str, key_type: str) -> Key | None:
        async with self._asking.setdefault(address, asyncio.Lock()):
            now = self._clock.now()
            served = self._served.get(address)
            current = served.keys if served and now - served.fetched_at <= _MAX_AGE else ()
            key = _pick(current, kid, key_type)
            if key is not None or (served and now - served.asked_at < _PAUSE):
                return key
            keys = await self._fetch(address)
            if keys is not None:
                self._served[address] = _Served(keys, now, now)
                return _pick(keys, kid, key_type)
            self._served[address] = _Served(current, served.fetched_at if served else now, now)
            return None

    async def _fetch(self, address: str) -> Keys | None:
        """The usable keys served there; None when it does not answer well, in time, without a redirect."""
        try:
            async with asyncio.timeout(_SECONDS):
                return served_keys(await self._read(address))
        except (httpx.HTTPError, TimeoutError, ServiceError, UnusableKey):
            return None

    async def _read(self, address: str) -> Any:
        received = bytearray()
        accepted = {"Accept": "application/json"}
        async with self._http.stream("GET", address, headers=accepted, follow_redirects=False) as answer:
            if answer.status_code != httpx.codes.OK:
                raise UnusableKey("no key set was served")
            async for chunk in answer.aiter_bytes():
                received += chunk
                if len(received) > _MAX_BYTES:
                    raise UnusableKey("a key set is too large")
        return decode(bytes(received), max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)


def _pick(keys: Keys, kid: str, key_type: str) -> Key | None:
    return next((key for key in keys if key.kid == kid and key.key_type == key_type), None)
