"""One call's requests to one FHIR server: bounded in number, time and size, each with the call's token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from service.ehr.answer import Bounds, read_answer
from service.errors import EhrRefused, EhrUnavailable

FHIR_JSON: Final = "application/fhir+json"
# What a hook misses and the records that one policy reads go out together.
_AT_ONCE: Final = 16

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
"""Sends a request once and follows nothing; the answer's body is still to be read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `safe` says that it may be sent twice."""

    method: str
    url: str
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    safe: bool = True


class WrongMethod(EhrRefused):
    """GET where POST is wanted, or the other way round."""


class Sending:
    """What one call asks. The token is in no representation, error text or log line."""

    def __init__(self, send: Send, token: str, bounds: Bounds, deadline: float) -> None:
        """`deadline` is a time of the running event loop."""
        self._send = send
        self._token = token
        self._bounds = bounds
        self._deadline = deadline
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._standing = "not-used"

    @property
    def token_use(self) -> str:
        """How the token fared so far: "not-used", "used" or "rejected"."""
        return self._standing

    @property
    def bounds(self) -> Bounds:
        return self._bounds

    async def ask(self, request: Request) -> Any:
        """The JSON of a successful answer; WrongMethod, EhrRefused or EhrUnavailable for anything else."""
        async with self.answer(request) as answer:
            return await self.read(answer)

    async def read(self, answer: httpx.Response) -> Any:
        """The JSON of an answer that is open, as `ask` gives it."""
        return await read_answer(answer, self._bounds)

    @asynccontextmanager
    async def answer(self, request: Request) -> AsyncIterator[httpx.Response]:
        """The answer with its body still to be read, within the request's and the call's time."""
        until = min(self._deadline, asyncio.get_running_loop().time() + self._bounds.seconds)
        try:
            async with asyncio.timeout_at(until), self._slots:
                answer = await self._sent(request)
                try:
                    self._note(answer.status_code, request)
                    yield answer
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise EhrUnavailable("The FHIR server did not answer in time.") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise EhrUnavailable("The FHIR server could not be reached.") from None

    async def _sent(self, request: Request) -> httpx.Response:
        """Sends once more when a connection failed; no answer, and no Retry-After, makes us ask again."""
        try:
            return await self._send(self._built(request))
        except httpx.ConnectError:
            return await self._send(self._built(request))
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            # A connection that was kept open and has been closed at the other end.
            if not request.safe:
                raise
            return await self._send(self._built(request))

    def _built(self, request: Request) -> httpx.Request:
        headers = {
            "Accept": FHIR_JSON,
            "Accept-Encoding": "gzip",
            **request.headers,
            "Authorization": f"Bearer {self._token}",
        }
        return httpx.Request(request.method, request.url, content=request.body, headers=headers)

    def _note(self, status: int, request: Request) -> None:
        """How the token fared; and a search that is wanted in the other form."""
        if status == httpx.codes.UNAUTHORIZED:
            self._standing = "rejected"
        elif self._standing == "not-used":
            self._standing = "used"
        other_form = {404, 405, 415, 501} if request.method == "POST" else {405, 414}
        if request.safe and status in other_form:
            raise WrongMethod("The FHIR server wants the search in another form.")
