"""A subscriber on this machine: a real server that keeps what it is sent, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Json = dict[str, Any]


@dataclass
class Subscriber:
    """`answers` are the statuses of the next calls, then 200; a call waits while `slow` is not set."""

    port: int
    answers: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], Json]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    slow: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def kinds(self) -> list[str]:
        return [value_of(bundle, "type") for _, bundle in self.received]

    async def take(self, request: Request) -> Response:
        self.paths.append(request.url.path)
        while not self.slow.is_set():
            await asyncio.sleep(0.01)
        body = await request.body()
        self.received.append((dict(request.headers), json.loads(body)))
        status = self.answers.pop(0) if self.answers else 200
        return Response(status_code=status, headers={"Location": "/elsewhere"} if status in {302, 307} else {})


def value_of(bundle: Json, name: str) -> str:
    """A value of the status Parameters."""
    (found,) = [one for one in bundle["entry"][0]["resource"]["parameter"] if one["name"] == name]
    return str(next(value for key, value in found.items() if key.startswith("value")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_subscriber() -> Iterator[Subscriber]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    # From here on a connection waits until the server has started; before, it would be refused.
    listening.listen()
    subscriber = Subscriber(listening.getsockname()[1])
    subscriber.slow.set()
    app = Starlette(routes=[Route("/{path:path}", subscriber.take, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield subscriber
    finally:
        subscriber.slow.set()
        server.should_exit = True
        thread.join(timeout=10)
        listening.close()
