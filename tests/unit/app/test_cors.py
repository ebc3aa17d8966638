"""Browsers that call hooks: the preflight is free, the call is not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from service.app.compose import create_app
from service.app.parts import Rules
from service.settings import Settings

ORIGIN = "https://sandbox.example.org"
PATHS = ("/cds-services", "/cds-services/order-sign-crd", "/cds-services/order-sign-crd/feedback")


@pytest.fixture
async def browser(tmp_path: Path, rules: Rules) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(cors_origins=(ORIGIN,)), tmp_path, rules=rules)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="https://payer.example.org") as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_a_preflight_needs_no_token(browser: httpx.AsyncClient, path: str) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response = await browser.options(path, headers=asked)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ORIGIN
    allowed = response.headers["access-control-allow-headers"].lower()
    assert {"authorization", "content-type"} <= set(allowed.replace(" ", "").split(","))


async def test_other_origins_are_not_let_in(browser: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://elsewhere.example.org", "Access-Control-Request-Method": "POST"}
    response = await browser.options(PATHS[1], headers=asked)
    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("path", PATHS)
async def test_the_call_itself_needs_one(browser: httpx.AsyncClient, path: str) -> None:
    method = "GET" if path == PATHS[0] else "POST"
    response = await browser.request(method, path, headers={"Origin": ORIGIN}, json={} if method == "POST" else None)
    assert response.status_code == 401
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert response.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    "odd", ["*", "https://*", "sandbox.example.org", f"{ORIGIN}/", f'["{ORIGIN}"]', f"{ORIGIN},{ORIGIN}"]
)
def test_what_is_no_origin_is_refused_at_the_start(odd: str) -> None:
    """Taken as it is, it would let nobody call, or everybody."""
    with pytest.raises(ValidationError):
        Settings(cors_origins=odd)  # type: ignore[arg-type]  # as the environment gives it
    assert Settings(cors_origins=f"{ORIGIN} http://localhost:8080").cors_origins == (  # type: ignore[arg-type]  # likewise
        ORIGIN,
        "http://localhost:8080",
    )
