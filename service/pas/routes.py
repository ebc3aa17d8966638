"""PAS over HTTP, one router for each guide version."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.pas.asked import Asked
from service.pas.attachment import SubmitAttachment
from service.pas.dependencies import PasDependencies
from service.pas.inquire import Inquire
from service.pas.metrics import Told, measured
from service.pas.shape import Shape, Version
from service.pas.submit import Submit
from service.pas.v201 import V201
from service.pas.v221 import V221
from service.ports import Caller
from service.wire import FHIR_JSON, fhir_response, read_body

SHAPES: Final[dict[Version, Shape]] = {shape.version: shape for shape in (V201, V221)}


def build(dependencies: PasDependencies, version: Version) -> APIRouter:
    """Claim/$submit, Claim/$inquire, $submit-attachment and what our answers refer to, relative to the FHIR base.

    ServiceErrors are left to the application, which makes OperationOutcomes of them.
    """
    router = APIRouter()
    submit = Submit(dependencies, SHAPES[version])
    inquire = Inquire(dependencies, SHAPES[version])
    submit_attachment = SubmitAttachment(dependencies)
    asked = Asked(dependencies, SHAPES[version])

    @router.post("/Claim/$submit")
    async def submit_claim(request: Request) -> Response:
        async def answer(caller: Caller) -> Told:
            body = await read_body(request, dependencies.settings)
            reply = await submit(body, caller.client, strict=caller.strict_intake)
            return Told(Response(reply.body, status_code=reply.status, media_type=FHIR_JSON), reply.case_id)

        return await measured(request, answer, dependencies, "submit")

    @router.post("/Claim/$inquire")
    async def inquire_claim(request: Request) -> Response:
        async def answer(caller: Caller) -> Told:
            return Told(fhir_response(await inquire(await read_body(request, dependencies.settings), caller)))

        return await measured(request, answer, dependencies, "inquire")

    @router.post("/$submit-attachment")
    async def take_attachment(request: Request) -> Response:
        async def answer(caller: Caller) -> Told:
            taken = await submit_attachment(await read_body(request, dependencies.settings), caller)
            return Told(fhir_response(taken.answer), taken.case_id)

        return await measured(request, answer, dependencies, "attach")

    @router.get("/CommunicationRequest/{resource_id}")
    async def read_communication_request(request: Request, resource_id: str) -> Response:
        caller = await dependencies.access(request, "system/ClaimResponse.rs")
        return fhir_response(await asked.read("CommunicationRequest", resource_id, caller))

    @router.get("/Task/{resource_id}")
    async def read_task(request: Request, resource_id: str) -> Response:
        caller = await dependencies.access(request, "system/ClaimResponse.rs")
        return fhir_response(await asked.read("Task", resource_id, caller))

    @router.get("/ClaimResponse/{case_id}")
    async def read_claim_response(request: Request, case_id: str) -> Response:
        caller = await dependencies.access(request, "system/ClaimResponse.rs")
        return fhir_response(await inquire.read(case_id, caller))

    return router
