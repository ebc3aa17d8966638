"""Our token endpoint and its discovery, relative to a FHIR base."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.access.scopes import SERVED
from service.access.tokens import TokenAnswer, TokenEndpoint
from service.wire import BODY_SECONDS

_MAX_FORM_BYTES: Final = 64_000
_MAX_FIELDS: Final = 20
_FORM: Final = "application/x-www-form-urlencoded"
_NOT_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build(endpoint: TokenEndpoint, scopes: Iterable[str] = SERVED) -> APIRouter:
    """POST token and GET .well-known/smart-configuration."""
    router = APIRouter()
    configuration = smart_configuration(endpoint.url, scopes)

    @router.post("/token")
    async def token(request: Request) -> Response:
        form = await _read_form(request)
        if form is None:
            problem = f"Send one {_FORM} form in which no field is repeated."
            answer = TokenAnswer(400, {"error": "invalid_request", "error_description": problem})
        else:
            answer = await endpoint.answer(form)
        return JSONResponse(dict(answer.body), status_code=answer.status, headers=_NOT_KEPT)

    @router.get("/.well-known/smart-configuration")
    async def discovery() -> Response:
        return JSONResponse(configuration)

    return router


def smart_configuration(token_endpoint: str, scopes: Iterable[str] = SERVED) -> dict[str, Any]:
    """The discovery document of SMART Backend Services (SMART App Launch 2, section "Conformance")."""
    return {
        "token_endpoint": token_endpoint,
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES384", "RS384"],
        "scopes_supported": sorted(scopes),
        # Mandatory in the document even where nobody launches an app.
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["client-confidential-asymmetric", "permission-v1", "permission-v2"],
    }


async def _read_form(request: Request) -> Mapping[str, str] | None:
    """The form's fields; None when it is no form, too large, too slow, or repeats a field (RFC 6749 section 3.2)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        return None
    received = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                received += chunk
                if len(received) > _MAX_FORM_BYTES:
                    return None
    except TimeoutError:
        return None
    try:
        fields = parse_qsl(received.decode("ascii"), max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        return None
    form = dict(fields)
    return form if len(form) == len(fields) else None
