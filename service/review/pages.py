"""Pages of the console: templates, the headers that every page carries, posted fields, and how a failure is shown."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from service.errors import Forbidden, InvalidResource, NotAuthenticated, ServiceError
from service.fhir.outcome import answer_for
from service.review.words import words_of
from service.settings import Settings
from service.wire import read_body

_HERE: Final = Path(__file__).parent
_MAX_FIELDS: Final = 500
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
SIGN_IN: Final = "/review/sign-in"

Fields = Mapping[str, Sequence[str]]
"""A posted form or a query: field name to its values, in order."""


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
        self._environment.filters["moment"] = moment
        self._environment.filters["words"] = words_of

    def show(self, template: str, /, *, status: int = 200, **shown: Any) -> HTMLResponse:
        """A page; `signed_in` is None where nobody is known."""
        shown.setdefault("signed_in", None)
        return HTMLResponse(self._environment.get_template(template).render(**shown), status_code=status)


def moment(at: datetime | None) -> str:
    """An instant as people read it, in UTC, which is said."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if at else "none"


def see(path: str) -> RedirectResponse:
    """After a POST: look at this page."""
    return RedirectResponse(path, status_code=303)


def style_sheet() -> Response:
    return Response((_HERE / "static" / "review.css").read_bytes(), media_type="text/css; charset=utf-8")


async def read_fields(request: Request, settings: Settings) -> Fields:
    """A posted form; InvalidResource when it is none."""
    body = await read_body(request, settings)
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidResource("The form could not be read. Send it from its page.") from None


def field(fields: Fields, name: str) -> str:
    """The one value of a field, without the spaces around it; empty when it is not there."""
    return next(iter(fields.get(name, ())), "").strip()


def only_own_pages(request: Request) -> None:
    """Forbidden for a form of another site, where the browser says so (fetch metadata)."""
    if request.method != "GET" and request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise Forbidden("This form belongs to another site.")


def page_route(pages: Pages) -> type[APIRoute]:
    """The class of routes for people: failures are pages too, and every answer carries the security headers."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    only_own_pages(request)
                    response = await inner(request)
                except NotAuthenticated:
                    response = see(SIGN_IN)
                except ServiceError as error:
                    status = answer_for(error).status
                    response = pages.show("problem.html", status=status, text=error.text)
                response.headers.update(_HEADERS)
                return response

            return guarded

    return PageRoute
