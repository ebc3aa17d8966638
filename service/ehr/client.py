"""EhrClient over HTTP: one caller's FHIR server, for one call, with that call's token."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode

import httpx

from service.ehr.address import Reach, Server, next_page, parse_server, server_within
from service.ehr.answer import Bounds, Page, next_link, read_page, require_resource
from service.ehr.connection import CheckedTransport, Resolve, system_addresses
from service.ehr.sending import FHIR_JSON, Request, Sending, WrongMethod
from service.errors import EhrUnavailable
from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.ports import Found, Resource
from service.settings import Settings

_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}
# FHIR R4 datatypes.html#id, but for "." and "..", which a URL reads as steps.
_ID: Final = r"(?!\.{1,2}(?![A-Za-z0-9\-.]))[A-Za-z0-9\-.]{1,64}"
_TYPE: Final = r"[A-Z][A-Za-z]{1,63}"
_REFERENCE: Final = re.compile(rf"({_TYPE})/({_ID})(?:/_history/[A-Za-z0-9\-.]{{1,64}})?")
# RFC 6750 section 2.1. Anything else could end the header.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_LONGEST_QUERY: Final = 1500


class HttpEhr:
    """ports.EhrClient."""

    def __init__(self, sending: Sending, server: Server, check: StructureCheck) -> None:
        self.sending = sending
        self._server = server
        self._check = check

    @property
    def base(self) -> str:
        return self._server.base

    @property
    def token_use(self) -> str:
        return self.sending.token_use

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
        received = await self.sending.ask(Request("GET", f"{self.base}/{resource_type}/{logical_id}"))
        return require_resource(received, (resource_type, logical_id), self._check)

    async def search(self, resource_type: str, *parameters: tuple[str, str]) -> Found:
        """GET, or POST to _search for long queries and servers that want it; all pages."""
        query = urlencode(parameters)
        url = f"{self.base}/{resource_type}"
        by_get = Request("GET", f"{url}?{query}")
        by_post = Request("POST", f"{url}/_search", query.encode("ascii"), _FORM)
        first, second = (by_post, by_get) if len(query) > _LONGEST_QUERY else (by_get, by_post)
        try:
            received = await self.sending.ask(first)
        except WrongMethod:
            received = await self.sending.ask(second)
        return await self._following(read_page(received, self._check), url)

    async def rest(self, page: Resource) -> Found:
        return await self._following(Page((), True, next_link(page)), f"{self.base}/")

    async def create(self, resource: Resource) -> str:
        """POST; sent once, whatever happens."""
        url = f"{self.base}/{resource.get('resourceType')}"
        request = Request("POST", url, encode(resource), {"Content-Type": FHIR_JSON}, safe=False)
        async with self.sending.answer(request) as answer:
            named = re.search(rf"/({_TYPE}/{_ID})(/_history/[^/]+)?$", answer.headers.get("location", ""))
            if answer.status_code == httpx.codes.CREATED and named:
                return named[1].partition("/")[2]
            received = await self.sending.read(answer)
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
        bounds = self.sending.bounds
        while page.following is not None:
            following = next_page(self._server, url, page.following)
            bounded = len(seen) < bounds.max_pages - 1 and len(resources) < bounds.max_resources
            if not bounded or following is None or following in seen:
                complete = False
                break
            url = following
            seen.add(url)
            try:
                page = read_page(await self.sending.ask(Request("GET", url)), self._check)
            except EhrUnavailable:
                complete = False
                break
            resources += page.resources
            complete = complete and page.complete
        return Found(tuple(resources[: bounds.max_resources]), complete)


class HttpEhrClients:
    """ports.EhrClients over shared connections; holds nothing of any call."""

    def __init__(
        self, connections: httpx.AsyncBaseTransport, reach: Reach, check: StructureCheck, bounds: Bounds
    ) -> None:
        self._connections = connections
        self._reach = reach
        self._check = check
        self._bounds = bounds

    def open(
        self, server: str | None, token: str | None, *, deadline: float, registered: frozenset[str] = frozenset()
    ) -> HttpEhr | None:
        allowed = server_within(server, self._reach, registered) if server else None
        if allowed is None or token is None or not _TOKEN.fullmatch(token):
            return None
        send = self._connections.handle_async_request
        return HttpEhr(Sending(send, token, self._bounds, deadline), allowed, self._check)

    async def close(self) -> None:
        await self._connections.aclose()


def open_ehr_clients(
    settings: Settings, check: StructureCheck, resolve: Resolve = system_addresses
) -> HttpEhrClients:
    """For the life of the service; in the demo this machine's own FHIR servers may be called too."""
    reach = Reach(frozenset(settings.ehr_hosts), settings.ehr_private_addresses, settings.demo)
    bounds = Bounds(seconds=settings.ehr_seconds, max_depth=settings.max_depth)
    return HttpEhrClients(CheckedTransport(reach, resolve), reach, check, bounds)
