"""A body that does not come to its end is given up, and says so."""

from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from service import wire
from service.access import routes
from service.errors import TooSlow
from service.fhir.outcome import answer_for
from service.settings import Settings


def dripping(kind: bytes) -> Request:
    """A request whose first byte came, and whose second never will."""
    sent = iter([b"{"])

    async def receive() -> Message:
        body = next(sent, None)
        if body is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": body, "more_body": True}

    return Request({"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}, receive)


async def test_a_body_without_an_end_is_a_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.01)
    with pytest.raises(TooSlow) as raised:
        await wire.read_body(dripping(b"application/json"), Settings())
    assert answer_for(raised.value).status == 408


async def test_the_token_endpoint_waits_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "BODY_SECONDS", 0.01)
    assert await routes._read_form(dripping(b"application/x-www-form-urlencoded")) is None
