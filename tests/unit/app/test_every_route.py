"""Every route that the service has, found in the service itself: closed to strangers, or open for a reason."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute

from service.app.compose import create_app
from service.app.parts import Rules
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.pas.payer import NOW

HERE: Final = "https://payer.example.org"
# Open to everybody, each for the reason beside it. Whatever is not here is refused, also what is added later.
OPEN: Final[dict[str, str]] = {
    "GET /": "the front page: the payer's own words",
    "GET /policies/{policy_id}": "the policy, which the payer publishes",
    "GET /static/home.css": "a style sheet",
    "GET /favicon.ico": "browsers ask for it",
    "GET /health/live": "a load balancer asks, without a word about anything else",
    "GET /health/ready": "a load balancer asks, without a word about anything else",
    "GET /metrics": "counts by route and policy; docs/operations.md says to keep it inside the network",
    "GET /review/static/review.css": "a style sheet",
    "GET /review/sign-in": "where people sign in",
    "POST /review/sign-in": "where people sign in; refused without the page's own token",
    "GET /dtr/static/{name}": "our own scripts and styles",
    "GET /dtr/lforms/40.1.3/{path:path}": "the form renderer's files, as published",
    "GET /dtr/jwks.json": "the app's public keys, which EHRs fetch",
    "GET /dtr/launch": "an EHR sends a browser here; only a registered EHR is followed",
    **{
        f"{method} {base}{path}": reason
        for base in ("/fhir", "/2.0.1/fhir")
        for method, path, reason in (
            ("GET", "/metadata", "SMART: discovery comes before a token"),
            ("GET", "/.well-known/smart-configuration", "SMART: discovery comes before a token"),
            ("POST", "/token", "where a client proves who it is"),
        )
    },
}
CREDENTIALS: Final = {
    "none": {},
    "a guess": {"Authorization": "Bearer guess"},
    "a password": {"Authorization": "Basic YWRtaW46YWRtaW4="},
    "no signature": {"Authorization": "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJlaHIifQ."},
    "made-up cookies": {
        "Cookie": "__Host-review=x; __Host-dtr-launch=x; __Host-dtr-visit=x; __Host-dtr=x",
        "X-CSRF-Token": "x",
    },
    "as if from this machine": {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1", "Host": "127.0.0.1"},
}


def routes_of(routes: Sequence[BaseRoute], before: str = "") -> Iterator[tuple[str, str]]:
    """Method and template of every route, those of included routers too."""
    for route in routes:
        included: Any = getattr(route, "original_router", None)
        if included is not None:
            yield from routes_of(included.routes, before + route.include_context.prefix)  # type: ignore[attr-defined] # the framework's class has no public name
            continue
        methods, path = getattr(route, "methods", None), getattr(route, "path", None)
        assert methods, f"{route!r} takes every method"
        assert path is not None, f"{route!r} has no path"
        yield from ((method, before + path) for method in sorted(methods))


@pytest.fixture
def app(rules: Rules, tmp_path: Path) -> FastAPI:
    """The service as it is when nothing is set but its address."""
    settings = Settings(public_url=HERE)
    return create_app(settings, tmp_path, clock=FrozenClock(NOW), rules=replace(rules, settings=settings))


async def ask(app: FastAPI, method: str, template: str, headers: dict[str, str]) -> httpx.Response:
    """A stranger's call, with something in the place of every parameter."""
    path = re.sub(r"\{[^}]*\}", "1", template)
    transport = httpx.ASGITransport(app=app, client=("203.0.113.7", 50000))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
        return await http.request(method, path, headers=headers, content=None if method == "GET" else b"{}")


def is_refusal(answer: httpx.Response) -> bool:
    """401 to programs, the sign-in page to reviewers, "open the app from the EHR" to the app's users."""
    path = answer.request.url.path
    if path.startswith("/review"):
        return answer.status_code == 303 and answer.headers["location"] == "/review/sign-in" and not answer.content
    if path.startswith("/dtr"):
        return answer.status_code == 403
    return answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("credentials", CREDENTIALS.values(), ids=CREDENTIALS)
async def test_a_route_is_closed_to_strangers_or_open_for_a_reason(app: FastAPI, credentials: dict[str, str]) -> None:
    routes = [(method, path) for method, path in routes_of(app.routes) if f"{method} {path}" not in OPEN]
    assert len(routes) > 70
    answers = {f"{method} {path}": await ask(app, method, path, credentials) for method, path in routes}
    assert [route for route, answer in answers.items() if not is_refusal(answer)] == []


async def test_every_reason_is_for_a_route_that_is_there(app: FastAPI) -> None:
    assert OPEN.keys() <= {f"{method} {path}" for method, path in routes_of(app.routes)}


async def test_no_answer_may_be_framed_sniffed_stored_or_made_to_run_what_is_not_ours(app: FastAPI) -> None:
    """Also of open routes, and where nothing is. Only the app's own pages may stand in a registered EHR's frame."""
    for method, path in (*routes_of(app.routes), ("GET", "/nothing"), ("GET", "/dtr/nothing"), ("PATCH", "/fhir/x")):
        answer = await ask(app, method, path, {"Accept": "text/html"})
        policy = answer.headers["content-security-policy"].split("; ")
        # The app's pages load what is ours, and stand in its own frames where no EHR is registered.
        page = {
            "default-src 'self'",
            "script-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        }
        own = path.startswith("/dtr") and page | {"frame-ancestors 'self'"} <= set(policy)
        assert own or {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy), path
        assert not any("unsafe" in directive or "*" in directive for directive in policy), path
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert "no-store" in answer.headers["cache-control"] or f"{method} {path}" in OPEN, path


def test_the_walk_finds_routes_of_routers_in_routers() -> None:
    inner, outer, whole = APIRouter(), APIRouter(), FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    inner.add_api_route("/c", lambda: None, methods=["POST"])
    outer.include_router(inner, prefix="/b")
    whole.include_router(outer, prefix="/a")
    assert list(routes_of(whole.routes)) == [("POST", "/a/b/c")]
