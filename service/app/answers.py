"""Every call's request id, log line and metrics, and every error as an OperationOutcome."""

from __future__ import annotations

import logging
import re
import time
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import log
from service.errors import ServiceError
from service.fhir.build import Json
from service.fhir.canonical import DTR_VERSIONS, PAS_VERSIONS
from service.fhir.outcome import answer_for, issue, operation_outcome, outcome
from service.ports import Ids
from service.wire import fhir_response

PREVIOUS: Final = PAS_VERSIONS[1]

_log = logging.getLogger(__name__)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}")
_WORDS: Final = {
    404: ("not-found", "There is nothing at this address."),
    405: ("not-supported", "This address does not take that method."),
}
# A version number where the newest base, or the previous one, has none or another.
_VERSIONED: Final = re.compile(r"/(?:(?P<before>\d+(?:\.\d+)+)/fhir|fhir/\d+(?:\.\d+)+)(?:/|$)")
_OTHER_VERSION: Final = (
    f"This version is not spoken here. PAS {PAS_VERSIONS[0]} and DTR {DTR_VERSIONS[0]} are at /fhir, version "
    f"{PREVIOUS} of both at /{PREVIOUS}/fhir."
)
# The guide: an answer of 5xx is temporary and has no OperationOutcome (PAS 2.2.1, error handling, HTTP responses).
_PAS: Final = re.compile(
    rf"(?:/{re.escape(PREVIOUS)})?/fhir/"
    r"(?:Claim/\$|\$submit-attachment$|(?:Subscription|ClaimResponse|CommunicationRequest|Task)(?:/|$))"
)


class Calls:
    """ASGI middleware: gives each call a request id, writes one log line, counts, and adds security headers.

    The log line and the metrics name the route's template, never the path or the query: those may hold ids.
    """

    def __init__(self, app: ASGIApp, ids: Ids, metrics: CollectorRegistry) -> None:
        self._app = app
        self._ids = ids
        self._count = Counter("http_requests", "Calls answered", ["method", "route", "status"], registry=metrics)
        self._time = Histogram("http_seconds", "Time to answer", ["method", "route"], registry=metrics)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _received_id(scope) or self._ids.new()
        token = log.request_id.set(request_id)
        started = time.perf_counter()
        status, begun = 500, False

        async def answered(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                _add_headers(MutableHeaders(scope=message), request_id)
            await send(message)

        try:
            await self._app(scope, receive, answered)
        except Exception as error:
            # Answered here, where the request id is known; the framework's own handler stands outside of it.
            _log.error("unexpected failure", extra={"error": type(error).__name__})
            if not begun:
                failure = _failure(scope["path"], operation_outcome(error, request_id=request_id), 500)
                await failure(scope, receive, answered)
            raise
        finally:
            self._note(scope, status, time.perf_counter() - started)
            log.request_id.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = _template(scope)
        method = (
            scope["method"] if scope["method"] in {"GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"} else "other"
        )
        self._count.labels(method, route, status).inc()
        self._time.labels(method, route).observe(seconds)
        fields = {"method": method, "route": route, "status": status, "milliseconds": round(seconds * 1000, 1)}
        _log.info("answered", extra=fields)


def install_errors(app: FastAPI) -> None:
    """One handler for our errors, one for the framework's; everything else is answered by Calls."""

    async def service_error(request: Request, error: Exception) -> Response:
        answer = answer_for(error)
        if answer.status >= 500:
            return _failure(request.url.path, operation_outcome(error), answer.status)
        headers = {"WWW-Authenticate": "Bearer"} if answer.status == 401 else None
        return fhir_response(operation_outcome(error), answer.status, headers)

    async def framework_error(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 400
        if status == 404 and _asks_for_another_version(request.url.path):
            return fhir_response(outcome(issue("error", "not-supported", _OTHER_VERSION)), 400)
        code, words = _WORDS.get(status, ("invalid", "The request could not be read."))
        headers = dict(error.headers) if isinstance(error, HTTPException) and error.headers else None
        return fhir_response(outcome(issue("error", code, words)), status, headers)

    app.add_exception_handler(ServiceError, service_error)
    app.add_exception_handler(HTTPException, framework_error)
    app.add_exception_handler(RequestValidationError, framework_error)


def _failure(path: str, told: Json, status: int) -> Response:
    return Response(status_code=status) if _PAS.match(path) else fhir_response(told, status)


def _asks_for_another_version(path: str) -> bool:
    found = _VERSIONED.match(path)
    return found is not None and found["before"] != PREVIOUS


def _template(scope: Scope) -> str:
    """The matched route with its prefix and its parameters' names in place of their values.

    The framework keeps only the inner router's part of the template, so that /review and /demo would look alike.
    """
    if scope.get("route") is None:
        return "unknown"
    path: str = scope["path"]
    for name, value in reversed(scope.get("path_params", {}).items()):
        before, found, after = path.rpartition(f"/{value}")
        path = f"{before}/{{{name}}}{after}" if found else "unknown"
    return path


def _received_id(scope: Scope) -> str | None:
    """The caller's X-Request-ID, when it is a plain id."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            return text if _REQUEST_ID.fullmatch(text) else None
    return None


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers["X-Request-ID"] = request_id
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
