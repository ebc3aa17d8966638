"""HTTP of CDS Hooks: discovery, services and feedback."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from fastapi import APIRouter
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from service.crd.answering import Payer
from service.crd.chart_view import ReadChart
from service.crd.discovery import SERVICES, discovery
from service.crd.gather import open_ehr
from service.crd.hooks import read_hook
from service.crd.metrics import Measured, metric_data
from service.crd.review_order import Reviewed, review_orders
from service.errors import Fault, InvalidResource, NotFound, ServiceError, StoreFailed
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.fhir.parse import StructureCheck
from service.policy.case import ClientId
from service.ports import Caller, Clock, EhrClients, Exchange, Ids, MemberDirectory, PolicyRegistry, Store
from service.settings import Settings
from service.wire import HookAccess, fhir_response, read_body, read_json

_LOG: Final = logging.getLogger(__name__)
_JSON: Final = "application/json"
_NOT_USED: Final = "not-used"  # metricTokenUse of CRD 2.2.1; a code, no token
METRIC_DATA: Final = "crd-metric-data"
"""The kind of exchange that holds a call's CRDMetricData as its response."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A call of somebody we know: its body as received and as JSON (None on GET)."""

    caller: Caller
    body: bytes
    received: object


@dataclass(frozen=True, slots=True)
class _Answer:
    """What goes back, what was said about orders, the codes of a refusal, and how the client's token fared."""

    response: Response
    reviewed: Reviewed | None = None
    issues: tuple[str, ...] = ()
    token_use: str = _NOT_USED


_Answering = Callable[[_Request], Awaitable[_Answer]]


@dataclass(frozen=True, slots=True)
class CrdDependencies:
    """What the routes need from the world around them. Without `read_chart` no card tells of the chart, without
    `ehr` nothing is asked of clients' FHIR servers.
    """

    settings: Settings
    registry: PolicyRegistry
    store: Store
    clock: Clock
    ids: Ids
    access: HookAccess
    check: StructureCheck
    members: MemberDirectory | None = None
    read_chart: ReadChart | None = None
    ehr: EhrClients | None = None


def build(dependencies: CrdDependencies) -> APIRouter:
    """The router of /cds-services. Errors are answered here, so that every call is kept with its answer."""
    router = APIRouter()

    @router.get("/cds-services")
    async def discover(request: Request) -> Response:
        async def answer(_call: _Request) -> _Answer:
            return _Answer(_json(discovery()))

        return await _kept(dependencies, request, "cds-services", answer)

    @router.post("/cds-services/{service_id}")
    async def call_service(request: Request, service_id: str) -> Response:
        async def answer(call: _Request) -> _Answer:
            version = dependencies.settings.crd_default_version
            hook = read_hook(call.received, hook=_hook_of(service_id), default_version=version)
            ehr = open_ehr(hook, call.caller, dependencies.ehr, dependencies.settings)
            try:
                payer = _payer(dependencies)
                reviewed = await review_orders(hook, call.caller, payer, ehr, dependencies.read_chart)
                answered = _Answer(_json(reviewed.response), reviewed)
            except ServiceError as error:
                answered = _refusal(error)
            # Asked last: a call that is refused may have used the token, or learned that it is no good.
            return replace(answered, token_use=ehr.token_use) if ehr else answered

        hook_name = SERVICES.get(service_id)
        return await _kept(dependencies, request, "cds-services/{id}", answer, hook_name)

    @router.post("/cds-services/{service_id}/feedback")
    async def take_feedback(request: Request, service_id: str) -> Response:
        async def answer(call: _Request) -> _Answer:
            _hook_of(service_id)
            _require_feedback(call.received)
            now = dependencies.clock.now()
            await dependencies.store.save_feedback(call.caller.client, service_id, call.body, now)
            return _Answer(Response(status_code=200))

        return await _kept(dependencies, request, "cds-services/{id}/feedback", answer)

    return router


async def _kept(
    dependencies: CrdDependencies, request: Request, kind: str, answer: _Answering, hook: str | None = None
) -> Response:
    """Answer, and keep call and answer for disputes (CRD 2.2.1 found-37), with CRDMetricData for calls of a hook.

    Calls of nobody we know are not kept: they are no hook invocations, and would let strangers fill the store.
    """
    requested_at = dependencies.clock.now()
    client: ClientId | None = None
    body = b""
    received: object = None
    try:
        if request.method == "POST":
            body = await read_body(request, dependencies.settings)
        caller = await dependencies.access(request, body)
        client = caller.client
        received = read_json(body, dependencies.settings) if request.method == "POST" else None
        answered = await answer(_Request(caller, body, received))
    except ServiceError as error:
        answered = _refusal(error)
    if client is not None:
        call = Exchange(
            id=dependencies.ids.new(),
            kind=kind,
            client=client,
            requested_at=requested_at,
            answered_at=dependencies.clock.now(),
            status=answered.response.status_code,
            request=_without_token(body, received),
            response=bytes(answered.response.body),
        )
        measured = _measured(call, hook, (received, answered), dependencies) if hook else ()
        answered.response.background = BackgroundTask(_keep, dependencies.store, call, *measured)
    return answered.response


async def _keep(store: Store, *exchanges: Exchange) -> None:
    """Runs when the answer is on its way: what it promises is on disk already, and nobody waits for its record."""
    try:
        await store.log_exchange(*exchanges)
    except StoreFailed:
        _LOG.error("a call could not be kept", extra={"reason": exchanges[0].kind})


def _refusal(error: ServiceError) -> _Answer:
    status, outcome = answer_for(error).status, operation_outcome(error)
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
    issues = tuple(str(issue["code"]) for issue in outcome["issue"])
    return _Answer(fhir_response(outcome, status, headers), issues=issues)


def _measured(
    call: Exchange, hook: str, found: tuple[object, _Answer], dependencies: CrdDependencies
) -> tuple[Exchange]:
    """CRDMetricData is kept as a row beside its call: it has the same times and life, and needs no table."""
    received, answered = found
    measured = Measured(
        hook=hook,
        client=call.client,
        received=received,
        requested_at=call.requested_at,
        answered_at=call.answered_at,
        status=call.status,
        issues=answered.issues,
        reviewed=answered.reviewed,
        token_use=answered.token_use,
    )
    document = encode(metric_data(measured, dependencies.settings))
    return (replace(call, id=dependencies.ids.new(), kind=METRIC_DATA, request=b"", response=document),)


def _without_token(body: bytes, received: object) -> bytes:
    """The body as received, unless it carries the client's access token: that is never kept (crd.md 1.4).

    A body that is not JSON cannot be searched for one, and is not kept.
    """
    if received is None:
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
        members=dependencies.members,
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
