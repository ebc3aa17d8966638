"""HTTP of CDS Hooks: discovery, services and feedback."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from service.crd.discovery import SERVICES, discovery
from service.crd.hooks import read_hook
from service.crd.review_order import Payer, review_orders
from service.errors import Fault, InvalidResource, NotFound, ServiceError
from service.fhir.json import decode, encode
from service.fhir.outcome import answer_for, operation_outcome
from service.fhir.parse import StructureCheck
from service.policy.case import ClientId
from service.ports import Caller, Clock, Exchange, Ids, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings
from service.wire import HookAccess, fhir_response, read_body, read_json

_JSON: Final = "application/json"
_Answering = Callable[[bytes, Caller], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class CrdDependencies:
    """What the routes need from the world around them."""

    settings: Settings
    registry: PolicyRegistry
    store: Store
    clock: Clock
    ids: Ids
    access: HookAccess
    check: StructureCheck
    members: MemberDirectory | None = None


def build(dependencies: CrdDependencies) -> APIRouter:
    """The router of /cds-services. Errors are answered here, so that every call is kept with its answer."""
    router = APIRouter()

    @router.get("/cds-services")
    async def discover(request: Request) -> Response:
        async def answer(_body: bytes, _caller: Caller) -> Response:
            return _json(discovery())

        return await _kept(dependencies, request, "cds-services", answer)

    @router.post("/cds-services/{service_id}")
    async def call_service(request: Request, service_id: str) -> Response:
        async def answer(body: bytes, caller: Caller) -> Response:
            hook = read_hook(
                read_json(body, dependencies.settings),
                hook=_hook_of(service_id),
                default_version=dependencies.settings.crd_default_version,
            )
            return _json(await review_orders(hook, caller.client, _payer(dependencies)))

        return await _kept(dependencies, request, "cds-services/{id}", answer)

    @router.post("/cds-services/{service_id}/feedback")
    async def take_feedback(request: Request, service_id: str) -> Response:
        async def answer(body: bytes, caller: Caller) -> Response:
            _hook_of(service_id)
            _require_feedback(read_json(body, dependencies.settings))
            now = dependencies.clock.now()
            await dependencies.store.save_feedback(caller.client, service_id, body, now)
            return Response(status_code=200)

        return await _kept(dependencies, request, "cds-services/{id}/feedback", answer)

    return router


async def _kept(dependencies: CrdDependencies, request: Request, kind: str, answer: _Answering) -> Response:
    """Answer, and keep call and answer for disputes (CRD 2.2.1 found-37).

    Calls of nobody we know are not kept: they are no hook invocations, and would let strangers fill the store.
    """
    requested_at = dependencies.clock.now()
    client: ClientId | None = None
    body = b""
    try:
        if request.method == "POST":
            body = await read_body(request, dependencies.settings)
        caller = await dependencies.access(request, body)
        client = caller.client
        response = await answer(body, caller)
    except ServiceError as error:
        status = answer_for(error).status
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        response = fhir_response(operation_outcome(error), status, headers)
    if client is not None:
        await dependencies.store.log_exchange(
            _exchange(dependencies, client, kind, (requested_at, body, response)),
        )
    return response


def _exchange(
    dependencies: CrdDependencies, client: ClientId, kind: str, call: tuple[datetime, bytes, Response]
) -> Exchange:
    requested_at, body, response = call
    return Exchange(
        id=dependencies.ids.new(),
        kind=kind,
        client=client,
        requested_at=requested_at,
        answered_at=dependencies.clock.now(),
        status=response.status_code,
        request=_without_token(body, dependencies.settings),
        response=bytes(response.body),
    )


def _without_token(body: bytes, settings: Settings) -> bytes:
    """The body as received, unless it carries the client's access token: that is never kept (crd.md 1.4).

    A body that is not JSON cannot be searched for one, and is not kept.
    """
    try:
        received = decode(body, max_bytes=settings.max_body_bytes, max_depth=settings.max_depth)
    except ServiceError:
        return b""
    if not isinstance(received, dict) or "fhirAuthorization" not in received:
        return body
    return encode({name: value for name, value in received.items() if name != "fhirAuthorization"})


def _payer(dependencies: CrdDependencies) -> Payer:
    return Payer(
        settings=dependencies.settings,
        registry=dependencies.registry,
        store=dependencies.store,
        clock=dependencies.clock,
        ids=dependencies.ids,
        check=dependencies.check,
    )


def _hook_of(service_id: str) -> str:
    hook = SERVICES.get(service_id)
    if hook is None:
        raise NotFound(f"There is no such service here. There are: {', '.join(SERVICES)}.")
    return hook


def _require_feedback(received: object) -> None:
    """CDS Hooks feedback: an object with a list `feedback` of objects; what else it holds is the client's."""
    feedback = received.get("feedback") if isinstance(received, dict) else None
    if not isinstance(feedback, list) or not all(isinstance(item, dict) for item in feedback):
        fault = Fault("feedback", "must be a JSON list of feedback objects")
        raise InvalidResource("The body is no CDS Hooks feedback.", faults=(fault,))


def _json(answer: object) -> Response:
    return Response(encode(answer), media_type=_JSON)
