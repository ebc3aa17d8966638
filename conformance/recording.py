"""An ASGI middleware that keeps every JSON request and answer that passes, in the order they came."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
_Message = MutableMapping[str, Any]
_App = Callable[[_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP exchange. A body that is no JSON object is None; `ours`: we sent the request."""

    method: str
    path: str
    sent: Json | None
    status: int
    answer: Json | None
    ours: bool = False


# The port of the stories' own client; the service's clients, in this process, come from another.
STORIES_PORT: Final = 1


class Recorder:
    """`calls` is given by the caller, who reads it afterwards."""

    def __init__(self, app: _App, calls: list[Call]) -> None:
        self._app = app
        self._calls = calls

    async def __call__(self, scope: _Message, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent, answered, status = bytearray(), bytearray(), [0]

        async def receive_kept() -> _Message:
            message: _Message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def send_kept(message: _Message) -> None:
            status[0] = message.get("status", status[0])
            answered.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, receive_kept, send_kept)
        ours = scope["client"][1] != STORIES_PORT
        self._calls.append(Call(scope["method"], scope["path"], _json(sent), status[0], _json(answered), ours))


def _json(body: bytes | bytearray) -> Json | None:
    try:
        read = json.loads(body)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None
