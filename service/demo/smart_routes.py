"""HTTP of the demo EHR's authorization server: discovery, authorize, token, revoke and keys."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse, RedirectResponse

from service.demo.pages import only_from_here, read_fields
from service.demo.smart import Authorization
from service.errors import Forbidden
from service.settings import Settings


def smart_router(authorization: Authorization, settings: Settings) -> APIRouter:
    """Routes under /fhir/.well-known and /oauth; errors are left to the app."""
    router = APIRouter(dependencies=[Depends(only_from_here)], include_in_schema=False)

    @router.get("/fhir/.well-known/smart-configuration")
    async def configuration() -> Response:
        return JSONResponse(authorization.configuration())

    @router.get("/oauth/jwks.json")
    async def keys() -> Response:
        return JSONResponse(authorization.key_set())

    @router.get("/oauth/authorize")
    async def authorize(request: Request) -> Response:
        address = authorization.authorize(dict(request.query_params))
        if address is None:
            raise Forbidden("This app is not registered with the demo EHR.")
        return RedirectResponse(address, status_code=302)

    @router.post("/oauth/token")
    async def token(request: Request) -> Response:
        fields = {name: values[0] for name, values in (await read_fields(request, settings)).items()}
        answer = await authorization.token(fields)
        return JSONResponse(dict(answer.body), answer.status)

    @router.post("/oauth/revoke")
    async def revoke(request: Request) -> Response:
        fields = await read_fields(request, settings)
        authorization.revoke(fields.get("token", [""])[0])
        return Response(status_code=200)

    return router
