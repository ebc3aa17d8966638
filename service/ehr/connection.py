"""How other servers are reached: at addresses that were checked, and with nothing kept from one call to the next.

httpx is what callers see; aiohttp makes the connections, at a fraction of the time that httpx's own pool takes.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from service.ehr.address import Reach, address_within

_CONNECTIONS: Final = 200
_MOST_ADDRESSES: Final = 4
# Under the five seconds after which common servers close an idle connection: what cannot be sent twice (a code, a
# draft) would be lost on one that is being closed.
_KEPT_SECONDS: Final = 4.0

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) -> IP addresses as text; OSError when there are none."""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """What the machine's resolver says."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _CheckedAddresses(AbstractResolver):
    """The addresses of a name, all of them checked: one that leads inside rules out the name."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = (await self._resolve(host, port))[:_MOST_ADDRESSES]
        if not addresses:
            raise OSError("the name has no address")
        if not all(address_within(address, self._reach) for address in addresses):
            # Not an OSError: trying again would not help.
            raise httpx.UnsupportedProtocol("the name has an address that is not called from here")
        found = [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]
        return [each for each in found if family in (socket.AF_UNSPEC, each["family"])]

    async def close(self) -> None:
        """Holds nothing."""


class CheckedTransport(httpx.AsyncBaseTransport):
    """Sends each request once, to an address that was checked, and to no other: a name cannot change in between.

    Raises httpx.HTTPError. The connections belong to the event loop of the first request.
    """

    def __init__(self, reach: Reach, resolve: Resolve = system_addresses) -> None:
        self._reach = reach
        self._resolve = resolve
        self._tls = httpx.create_ssl_context()
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _told_as_httpx():
            answer = await self._opened().request(
                request.method,
                _same(request.url),
                headers=request.headers.multi_items(),
                data=request.content or None,
                allow_redirects=False,
                timeout=_timeout(request),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer), request=request)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=_CONNECTIONS,
                keepalive_timeout=_KEPT_SECONDS,
                ssl=self._tls,
                resolver=_CheckedAddresses(self._reach, self._resolve),
                use_dns_cache=False,
                socket_factory=self._socket,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                middlewares=(_once,),
            )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        """A socket for (family, type, protocol, name, (address, port, ...)).

        Addresses that stand in the URL itself come here unresolved.
        """
        family, kind, protocol, _, where = address
        if not address_within(str(where[0]), self._reach):
            raise httpx.UnsupportedProtocol("an address that is not called from here")
        return socket.socket(family, kind, protocol)


class _Body(httpx.AsyncByteStream):
    """The body as sent, still compressed."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _told_as_httpx():
            async for chunk in self._answer.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        """A connection whose body was not read to its end is closed, any other one is used again."""
        self._answer.release()


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp by itself would send a PUT or GET again when the connection breaks: that is for the caller to say."""
    with _told_as_httpx():
        return await send(request)


@contextmanager
def _told_as_httpx() -> Iterator[None]:
    try:
        yield
    except aiohttp.ServerTimeoutError:
        raise httpx.ReadTimeout("no answer in time") from None
    except aiohttp.ClientConnectorError:
        raise httpx.ConnectError("no connection") from None
    except (aiohttp.ClientOSError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError):
        raise httpx.ReadError("the connection was closed") from None
    except aiohttp.ClientError:
        raise httpx.RemoteProtocolError("no answer that HTTP allows") from None


def _same(url: httpx.URL) -> URL:
    """The address as it was read: a second parser might see another host in its text."""
    path, _, query = url.raw_path.decode("ascii").partition("?")
    authority = url.netloc.decode("ascii")
    return URL.build(scheme=url.scheme, authority=authority, path=path, query_string=query, encoded=True)


def _timeout(request: httpx.Request) -> aiohttp.ClientTimeout:
    """httpx's own limits; a request that has none is bounded by whoever sends it."""
    limits = request.extensions.get("timeout") or {}
    return aiohttp.ClientTimeout(
        total=None, connect=limits.get("pool"), sock_connect=limits.get("connect"), sock_read=limits.get("read")
    )


def open_http(reach: Reach, seconds: float, resolve: Resolve = system_addresses) -> httpx.AsyncClient:
    """A client without redirects, proxies or cookies: one caller's session must not be the next one's."""
    return httpx.AsyncClient(
        transport=CheckedTransport(reach, resolve),
        timeout=seconds,
        follow_redirects=False,
        trust_env=False,
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=[])),
    )
