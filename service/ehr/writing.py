"""Writing to the EHR of a SMART launch: what HttpEhr does, and updates that notice somebody else's change."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import Final

import httpx

from service.ehr.address import Reach, server_within
from service.ehr.answer import Bounds
from service.ehr.client import HttpEhr
from service.ehr.sending import FHIR_JSON, Request, Sending
from service.errors import Conflict, EhrUnavailable
from service.fhir.json import encode
from service.fhir.parse import StructureCheck
from service.ports import Resource

_CHANGED: Final = frozenset({409, 412})


class WritingEhr(HttpEhr):
    """ports.EhrClient with update."""

    async def update(self, resource: Resource, version: str | None = None) -> None:
        """PUT, sent once. With a version, only over that version: Conflict when it is no longer the newest."""
        url = f"{self.base}/{resource['resourceType']}/{resource['id']}"
        headers = {"Content-Type": FHIR_JSON}
        if version is not None:
            headers["If-Match"] = f'W/"{version}"'
        async with self.sending.answer(Request("PUT", url, encode(resource), headers, safe=False)) as answer:
            if answer.status_code in _CHANGED:
                raise Conflict("Somebody else has saved this in the EHR since you opened it.")
            if answer.status_code not in (httpx.codes.OK, httpx.codes.CREATED, httpx.codes.NO_CONTENT):
                await self.sending.read(answer)


@dataclass(frozen=True, slots=True)
class WritingEhrs:
    """Opens the EHRs of launches; `seconds` is what one page's calls may take together."""

    http: httpx.AsyncClient
    reach: Reach
    check: StructureCheck
    bounds: Bounds
    seconds: float = 10.0

    def open(self, base: str, token: str) -> WritingEhr:
        """EhrUnavailable when the server is not one that we may call."""
        server = server_within(base, self.reach)
        if server is None:
            raise EhrUnavailable("This EHR's address is not one that may be called from here.")
        deadline = asyncio.get_running_loop().time() + self.seconds
        send = partial(self.http.send, stream=True, follow_redirects=False)
        return WritingEhr(Sending(send, token, self.bounds, deadline), server, self.check)
