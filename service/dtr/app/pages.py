"""Pages of the app: templates, headers, cookies, and how a failure is shown."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs

from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from service.dtr.app.payer import PayerRefused
from service.errors import InvalidResource, ServiceError
from service.fhir.outcome import answer_for
from service.settings import Settings
from service.wire import read_body

_HERE: Final = Path(__file__).parent
_LFORMS: Final = _HERE.parents[1] / "_assets" / "lforms"
LFORMS_VERSION: Final = "40.1.3"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".md": "text/markdown; charset=utf-8",
}
_MAX_FIELDS: Final = 50


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is served: its bytes, its bytes compressed where that pays, and its type."""

    content: bytes
    compressed: bytes | None
    media_type: str

    def answer(self, request: Request, caching: str) -> Response:
        """The file, compressed when the browser takes that."""
        headers = {"Cache-Control": caching, "Vary": "Accept-Encoding"}
        if self.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self.compressed, media_type=self.media_type, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(self.content, media_type=self.media_type, headers=headers)


def own_files() -> Mapping[str, StaticFile]:
    """Our script and styles, by name."""
    return _files(_HERE / "static")


def renderer_files() -> Mapping[str, StaticFile]:
    """lforms and its licence, by path; empty before the set-up has copied them."""
    return _files(_LFORMS / LFORMS_VERSION)


def _files(folder: Path) -> Mapping[str, StaticFile]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in _TYPES:
            content = path.read_bytes()
            packed = None if path.suffix == ".png" else gzip.compress(content, 6, mtime=0)
            found[path.relative_to(folder).as_posix()] = StaticFile(content, packed, _TYPES[path.suffix])
    return found


class Pages:
    """Renders templates; every value is escaped, and a name that is missing is an error."""

    def __init__(self, settings: Settings, origins: tuple[str, ...]) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals["payer_name"] = settings.payer_name
        self._environment.globals["lforms"] = f"/dtr/lforms/{LFORMS_VERSION}"
        self._framed_by = " ".join(("'self'", *origins))

    def show(self, template: str, /, *, status: int = 200, renderer: bool = False, **shown: Any) -> HTMLResponse:
        """A page. `renderer` admits the inline styles that lforms sets; scripts are files of ours in every case."""
        styles = " style-src 'self' 'unsafe-inline';" if renderer else ""
        page = HTMLResponse(self.part(template, **shown), status_code=status)
        page.headers["Content-Security-Policy"] = (
            f"default-src 'self'; script-src 'self';{styles} img-src 'self' data:; object-src 'none'; "
            f"base-uri 'none'; form-action 'self'; frame-ancestors {self._framed_by}"
        )
        return page

    def part(self, template: str, /, **shown: Any) -> str:
        """A template's text."""
        return self._environment.get_template(template).render(**shown)


def app_route(pages: Pages) -> type[APIRoute]:
    """The class of the app's routes: failures are pages, or for the page's script short JSON."""

    class AppRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                try:
                    response = await inner(request)
                except ServiceError as error:
                    response = _failure(pages, request, error)
                response.headers.setdefault("Cache-Control", "no-store")
                response.headers["Referrer-Policy"] = "no-referrer"
                response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
                return response

            return guarded

    return AppRoute


def _failure(pages: Pages, request: Request, error: ServiceError) -> Response:
    status = 502 if isinstance(error, PayerRefused) else answer_for(error).status
    if "text/html" not in request.headers.get("accept", "text/html"):
        return JSONResponse({"error": error.text}, status)
    return pages.show("problem.html", status=status, text=error.text)


async def read_fields(request: Request, settings: Settings) -> dict[str, str]:
    """The fields of a small posted form, each once; InvalidResource when it is none."""
    body = await read_body(request, settings)
    try:
        parsed = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise InvalidResource("The form could not be read. Send it from its page.") from None
    return {name: values[0] for name, values in parsed.items()}


class Cookies:
    """Our two cookies: one binds a launch to its browser for minutes, one a visit for as long as it lasts."""

    def __init__(self, *, https: bool) -> None:
        self._https = https
        prefix = "__Host-" if https else ""
        self._visit = f"{prefix}dtr"
        self._launch = f"{prefix}dtr-launch"

    def visit(self, request: Request) -> str | None:
        return request.cookies.get(self._visit)

    def launch(self, request: Request) -> str | None:
        return request.cookies.get(self._launch)

    def set_visit(self, response: Response, value: str) -> None:
        self._set(response, self._visit, value, None)

    def set_launch(self, response: Response, value: str) -> None:
        self._set(response, self._launch, value, 600)

    def _set(self, response: Response, name: str, value: str, seconds: int | None) -> None:
        """By https also for a frame in an EHR of another site: for each such site the browser keeps a cookie apart.

        A write needs the page's own token besides, so that SameSite=None opens nothing.
        """
        kind: Literal["none", "lax"] = "none" if self._https else "lax"
        response.set_cookie(name, value, max_age=seconds, path="/", secure=self._https, httponly=True, samesite=kind)
        if self._https:
            # CHIPS; the cookies of Python 3.11 cannot say it.
            header, said = response.raw_headers.pop()
            response.raw_headers.append((header, said + b"; Partitioned"))
