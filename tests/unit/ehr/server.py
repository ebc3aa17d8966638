"""A FHIR server on a real loopback socket, good or bad as a test wants it."""

from __future__ import annotations

import asyncio
import atexit
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Json = dict[str, Any]
TOKEN = "secret-token-4711"


def fhir(resource: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(resource), status, headers, "application/fhir+json")


def outcome(severity: str = "error", text: str = "no") -> Json:
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": "processing", "diagnostics": text}],
    }


def searchset(*resources: Json, following: str | None = None) -> Json:
    bundle: Json = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": r} for r in resources]}
    if following is not None:
        bundle["link"] = [{"relation": "next", "url": following}]
    return bundle


def patient(logical_id: str = "p1") -> Json:
    return {"resourceType": "Patient", "id": logical_id, "name": [{"family": "Garbo"}]}


@dataclass(frozen=True)
class Asked:
    """A request as received, with the parameters of its query or form."""

    method: str
    path: str
    parameters: Sequence[tuple[str, str]]
    headers: dict[str, str]

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.parameters if key == name]


Behaviour = Callable[[Asked], Response | Awaitable[Response]]


@dataclass
class FhirServer:
    """Answers with what `answer` says; remembers what it was asked, and how many requests were open at once."""

    answer: Behaviour
    port: int = 0
    scheme: str = "http"
    asked: list[Asked] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    closing: bool = False

    @property
    def base(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/fhir"

    def paths(self) -> list[str]:
        return [each.path.removeprefix("/fhir/") for each in self.asked]

    async def serve(self, request: Request) -> Response:
        body = (await request.body()).decode()
        parameters = [
            *parse_qsl(request.url.query),
            *(parse_qsl(body) if request.url.path.endswith("_search") else []),
        ]
        asked = Asked(request.method, request.url.path, parameters, dict(request.headers))
        self.asked.append(asked)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            given = self.answer(asked)
            return given if isinstance(given, Response) else await self._unless_closing(given)
        finally:
            self.open_now -= 1

    async def _unless_closing(self, given: Awaitable[Response]) -> Response:
        waiting = asyncio.ensure_future(given)
        while not waiting.done() and not self.closing:
            await asyncio.wait([waiting], timeout=0.02)
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        return Response(status_code=500)


def together(count: int, answer: Callable[[Asked], Response]) -> Behaviour:
    """Answers nobody before `count` requests are open at the same time: asked one by one, none is ever answered."""
    arrived = 0
    all_here = asyncio.Event()

    async def behave(asked: Asked) -> Response:
        nonlocal arrived
        arrived += 1
        if arrived >= count:
            all_here.set()
        await all_here.wait()
        return answer(asked)

    return behave


async def never(asked: Asked) -> Response:
    """Answers nobody."""
    await asyncio.Event().wait()
    raise AssertionError("nothing ends this")


@contextmanager
def served(answer: Behaviour, certificate: tuple[Path, Path] | None = None) -> Iterator[FhirServer]:
    """The server while the block runs; with a certificate (chain, key) over TLS, on a socket of its own.

    Without one all tests share one listening thread: ending a server costs more than most tests.
    """
    if certificate is None:
        shared = _shared()
        shared.server = FhirServer(answer, shared.port)
        try:
            yield shared.server
        finally:
            shared.server.closing = True
        return
    fhir_server = FhirServer(answer, scheme="https")
    listening = _Listening(fhir_server, certificate)
    try:
        yield fhir_server
    finally:
        fhir_server.closing = True
        listening.end()


class _Listening:
    """A uvicorn in a thread, which hands every request to the FhirServer of the moment."""

    def __init__(self, server: FhirServer | None, certificate: tuple[Path, Path] | None = None) -> None:
        self.server = server
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._socket.getsockname()[1])
        if server is not None:
            server.port = self.port
        chain, key = certificate or (None, None)
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "PUT"])])
        config = uvicorn.Config(
            app,
            log_config=None,
            lifespan="off",
            ws="none",
            loop="asyncio",
            http="h11",
            ssl_certfile=chain,
            ssl_keyfile=key,
            ssl_version=ssl.PROTOCOL_TLS_SERVER,
        )
        self._uvicorn = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join(10)
        self._socket.close()

    async def _answer(self, request: Request) -> Response:
        assert self.server is not None
        return await self.server.serve(request)


@cache
def _shared() -> _Listening:
    listening = _Listening(None)
    atexit.register(listening.end)
    return listening


def hang_up(times: int, answer: bytes) -> tuple[int, list[int], threading.Thread]:
    """A server that takes `times` connections and closes them, then answers; the list counts connections."""
    listening = socket.create_server(("127.0.0.1", 0))
    taken: list[int] = []

    def run() -> None:
        with listening:
            listening.settimeout(10)
            for number in range(times + 1):
                try:
                    connection, _ = listening.accept()
                except TimeoutError:
                    return
                taken.append(number)
                with connection:
                    connection.recv(65536)
                    if number == times:
                        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer)}\r\n\r\n".encode()
                        connection.sendall(head + answer)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return listening.getsockname()[1], taken, thread


def closed_port() -> int:
    """A port of this machine where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
