"""Pages of the demo EHR: templates, the headers that every page carries, and how a failure is shown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.demo.posted import Fields
from service.dtr.app.payer import PayerRefused
from service.errors import Forbidden, InvalidResource, ServiceError
from service.fhir.outcome import answer_for
from service.settings import Settings
from service.wire import read_body

_HERE: Final = Path(__file__).parent
_MAX_FIELDS: Final = 1000
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
STATIC: Final = {"demo.css": "text/css; charset=utf-8", "demo.js": "text/javascript; charset=utf-8"}


class Pages:
    """Renders templates; every value is escaped, and a name that is missing is an error."""

    def __init__(self, settings: Settings) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["payer_name"] = settings.payer_name

    def show(self, template: str, /, *, status: int = 200, **shown: Any) -> HTMLResponse:
        """A page."""
        return HTMLResponse(self._environment.get_template(template).render(**shown), status_code=status)


def see(path: str) -> RedirectResponse:
    """After a POST: look at this page."""
    return RedirectResponse(path, status_code=303)


def static_file(name: str) -> Response:
    """A stylesheet or script of the demo; `name` is one of STATIC."""
    return Response((_HERE / "static" / name).read_bytes(), media_type=STATIC[name])


async def read_fields(request: Request, settings: Settings) -> Fields:
    """A posted form; InvalidResource when it is none."""
    body = await read_body(request, settings)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidResource("The form could not be read. Send it from its page.") from None


def only_from_here(request: Request) -> None:
    """The demo is for its own machine and its own pages: Forbidden for other machines, names and sites."""
    if request.client is None or request.client.host not in _LOOPBACK:
        raise Forbidden("The demo can be opened on the machine that it runs on, and nowhere else.")
    if request.url.hostname not in _LOOPBACK:
        raise Forbidden("Open the demo under 127.0.0.1 or localhost.")
    if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") not in (
        "same-origin",
        "none",
    ):
        raise Forbidden("This form belongs to another site.")


def page_route(pages: Pages) -> type[APIRoute]:
    """The class of routes for people: failures are pages too, and every answer carries the security headers."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    only_from_here(request)
                    response = await inner(request)
                except ServiceError as error:
                    response = _failure(pages, error)
                response.headers.update(_HEADERS)
                return response

            return guarded

    return PageRoute


def _failure(pages: Pages, error: ServiceError) -> Response:
    status = 502 if isinstance(error, PayerRefused) else answer_for(error).status
    return pages.show("problem.html", status=status, text=error.text)
