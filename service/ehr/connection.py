"""The one HTTP client of all calls to FHIR servers: checked addresses, one TLS context, nothing kept."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpcore
import httpx

from service.ehr.address import Reach, address_within

_CONNECTIONS: Final = 200
_MOST_ADDRESSES: Final = 4

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> IP addresses as text; OSError when there are none."""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Stream(httpcore.AsyncNetworkStream):
    """A connection that knows its socket.

    At every request the pool asks each idle connection whether the other end has closed it, and anyio looks up all
    that can be known of a socket for that: several milliseconds of a hook that reads five things.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._socket = stream.get_extra_info("socket")

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return _Stream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return _is_readable(self._socket) if info == "is_readable" else self._stream.get_extra_info(info)


def _is_readable(connected: socket.socket) -> bool:
    """Whether something can be read, be it the end; an idle connection of which that is true is of no more use."""
    number = connected.fileno()
    if number < 0:
        return True
    asked = select.poll()
    asked.register(number, select.POLLIN)
    return bool(asked.poll(0))


class _CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects to an address that was checked, and to no other: a name cannot change between check and use."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = (await self._resolve(host, port))[:_MOST_ADDRESSES]
        except OSError:
            raise httpcore.ConnectError("the name has no address") from None
        if not addresses or not all(address_within(address, self._reach) for address in addresses):
            # Not a ConnectError: trying again would not help.
            raise httpcore.UnsupportedProtocol("the name has an address that is not called from here")
        for address in addresses[:-1]:
            try:
                share = None if timeout is None else timeout / len(addresses)
                return _Stream(await self._network.connect_tcp(address, port, share, local_address, socket_options))
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return _Stream(await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's own transport over our network: httpx has no parameter for it, only httpcore below it has."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        context = httpx.create_ssl_context()
        super().__init__(verify=context)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS // 2,
            keepalive_expiry=30.0,
            network_backend=_CheckedAddresses(reach, resolve),
        )


def open_http(reach: Reach, seconds: float, resolve: Resolve = system_addresses) -> httpx.AsyncClient:
    """A client without redirects, proxies or cookies: one caller's session must not be the next one's."""
    return httpx.AsyncClient(
        transport=_CheckedTransport(reach, resolve),
        timeout=seconds,
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )
