"""EhrClient over HTTP: one caller's FHIR server, for one call, with that call's token."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import httpx

from service.ehr.address import Reach, Server, next_page, parse_server, server_within
from service.ehr.answer import Bounds, Page, next_link, read_answer, read_page, require_resource
from service.ehr.connection import Resolve, open_http, system_addresses
from service.errors import EhrRefused, EhrUnavailable
from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.ports import Found, Resource
from service.settings import Settings

_FHIR_JSON: Final = "application/fhir+json"
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
# FHIR R4 datatypes.html#id, but for "." and "..", which a URL reads as steps.
_ID: Final = r"(?!\.{1,2}(?![A-Za-z0-9\-.]))[A-Za-z0-9\-.]{1,64}"
_TYPE: Final = r"[A-Z][A-Za-z]{1,63}"
_REFERENCE: Final = re.compile(rf"({_TYPE})/({_ID})(?:/_history/[A-Za-z0-9\-.]{{1,64}})?")
# RFC 6750 section 2.1. Anything else could end the header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_LONGEST_QUERY: Final = 1500
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class _Request:
    """One request; `safe` says that it may be sent twice."""

    method: str
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    safe: bool = True


class HttpEhr:
    """ports.EhrClient. The token is in no representation, error text or log line."""

    def __init__(
        self, http: httpx.AsyncClient, server: Server, token: str, check: StructureCheck, limits: tuple[Bounds, float]
    ) -> None:
        self._http = http
        self._server = server
        self._token = token
        self._check = check
        self._bounds, self._deadline = limits
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._standing = "not-used"

    @property
    def base(self) -> str:
        return self._server.base

    @property
    def token_use(self) -> str:
        return self._standing

    def named(self, reference: str) -> tuple[str, str] | None:
        """(type, id) of "Type/id", or of an absolute reference below our base."""
        base, separator, _ = reference.partition("://")
        if separator:
            steps = reference.split("/_history/")[0].rsplit("/", 2)
            server = parse_server(steps[0]) if len(steps) == 3 else None
            if server is None or server.base != self.base:
                return None
            base = "/".join(steps[1:])
        found = _REFERENCE.fullmatch(base)
        return (found[1], found[2]) if found else None

    async def read(self, resource_type: str, logical_id: str) -> Resource:
        if self.named(f"{resource_type}/{logical_id}") != (resource_type, logical_id):
            raise EhrUnavailable("What was to be read has no id that FHIR allows.")
        received = await self._ask(_Request("GET", f"{self.base}/{resource_type}/{logical_id}"))
        return require_resource(received, (resource_type, logical_id), self._check)

    async def search(self, resource_type: str, *parameters: tuple[str, str]) -> Found:
        """GET, or POST to _search for long queries and servers that want it; all pages."""
        query = urlencode(parameters)
        url = f"{self.base}/{resource_type}"
        by_get = _Request("GET", f"{url}?{query}")
        by_post = _Request("POST", f"{url}/_search", query.encode("ascii"), _FORM)
        first, second = (by_post, by_get) if len(query) > _LONGEST_QUERY else (by_get, by_post)
        try:
            received = await self._ask(first)
        except _WrongMethod:
            received = await self._ask(second)
        return await self._following(read_page(received, self._check), url)

    async def rest(self, page: Resource) -> Found:
        return await self._following(Page((), True, next_link(page)), f"{self.base}/")

    async def create(self, resource: Resource) -> str:
        """POST; sent once, whatever happens."""
        url = f"{self.base}/{resource.get('resourceType')}"
        request = _Request("POST", url, encode(resource), {"Content-Type": _FHIR_JSON}, safe=False)
        async with self._answer(request) as answer:
            named = re.search(rf"/({_TYPE}/{_ID})(/_history/[^/]+)?$", answer.headers.get("location", ""))
            if answer.status_code == httpx.codes.CREATED and named:
                return named[1].partition("/")[2]
            received = await read_answer(answer, self._bounds)
        found = (
            self.named(f"{resource.get('resourceType')}/{received.get('id')}") if isinstance(received, dict) else None
        )
        if found is None:
            raise EhrUnavailable("The FHIR server did not say what it created.")
        return found[1]

    async def _following(self, page: Page, url: str) -> Found:
        """The page and those after it, on the same server only; what was read counts when one fails."""
        resources, complete = list(page.resources), page.complete
        seen: set[str] = set()
        while page.following is not None:
            following = next_page(self._server, url, page.following)
            bounded = len(seen) < self._bounds.max_pages - 1 and len(resources) < self._bounds.max_resources
            if not bounded or following is None or following in seen:
                complete = False
                break
            url = following
            seen.add(url)
            try:
                page = read_page(await self._ask(_Request("GET", url)), self._check)
            except EhrUnavailable:
                complete = False
                break
            resources += page.resources
            complete = complete and page.complete
        return Found(tuple(resources[: self._bounds.max_resources]), complete)

    async def _ask(self, request: _Request) -> Any:
        async with self._answer(request) as answer:
            return await read_answer(answer, self._bounds)

    @asynccontextmanager
    async def _answer(self, request: _Request) -> AsyncIterator[httpx.Response]:
        """The answer with its body still to be read, within the request's and the call's time."""
        until = min(self._deadline, asyncio.get_running_loop().time() + self._bounds.seconds)
        try:
            async with asyncio.timeout_at(until), self._slots:
                answer = await self._send(request)
                try:
                    self._note(answer.status_code, request)
                    yield answer
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise EhrUnavailable("The FHIR server did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise EhrUnavailable("The FHIR server could not be reached.") from None

    async def _send(self, request: _Request) -> httpx.Response:
        """Sends once more when a connection failed; no answer, and no Retry-After, makes us ask again."""
        try:
            return await self._send_once(request)
        except httpx.ConnectError:
            return await self._send_once(request)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            # A connection that was kept open and has been closed at the other end.
            if not request.safe:
                raise
            return await self._send_once(request)

    async def _send_once(self, request: _Request) -> httpx.Response:
        headers = {
            "Accept": _FHIR_JSON,
            "Accept-Encoding": "gzip",
            **request.headers,
            "Authorization": f"Bearer {self._token}",
        }
        built = self._http.build_request(request.method, request.url, content=request.body, headers=headers)
        return await self._http.send(built, stream=True, follow_redirects=False)

    def _note(self, status: int, request: _Request) -> None:
        """How the token fared; and a search that is wanted in the other form."""
        if status == httpx.codes.UNAUTHORIZED:
            self._standing = "rejected"
        elif self._standing == "not-used":
            self._standing = "used"
        other_form = {404, 405, 415, 501} if request.method == "POST" else {405, 414}
        if request.safe and status in other_form:
            raise _WrongMethod("The FHIR server wants the search in another form.")


class _WrongMethod(EhrRefused):
    """GET where POST is wanted, or the other way round."""


class HttpEhrClients:
    """ports.EhrClients over one shared connection pool; holds nothing of any call."""

    def __init__(self, http: httpx.AsyncClient, reach: Reach, check: StructureCheck, bounds: Bounds) -> None:
        self._http = http
        self._reach = reach
        self._check = check
        self._bounds = bounds

    def open(
        self, server: str | None, token: str | None, *, deadline: float, registered: frozenset[str] = frozenset()
    ) -> HttpEhr | None:
        allowed = server_within(server, self._reach, registered) if server else None
        if allowed is None or token is None or not _TOKEN.fullmatch(token):
            return None
        return HttpEhr(self._http, allowed, token, self._check, (self._bounds, deadline))

    async def close(self) -> None:
        await self._http.aclose()


def open_ehr_clients(
    settings: Settings, check: StructureCheck, resolve: Resolve = system_addresses
) -> HttpEhrClients:
    """For the life of the service; in the demo this machine's own FHIR servers may be called too."""
    reach = Reach(frozenset(settings.ehr_hosts), settings.ehr_private_addresses, settings.demo)
    bounds = Bounds(seconds=settings.ehr_seconds, max_depth=settings.max_depth)
    return HttpEhrClients(open_http(reach, settings.ehr_seconds, resolve), reach, check, bounds)
