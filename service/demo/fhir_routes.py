"""The demo EHR's FHIR base: read, search within one patient, what a launched app may write, and what it can do."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import JSONResponse

from service.demo.ehr import DemoEhr
from service.demo.pages import only_from_here
from service.demo.smart import USERS, Authorization, Context, Grant
from service.demo.store import searchset, version_of
from service.dtr.app.context import read_context
from service.errors import Conflict, Forbidden, InvalidResource, NotAuthenticated, NotSupported
from service.fhir.build import Json
from service.fhir.canonical import FHIR_VERSION
from service.ports import Ids
from service.settings import Settings
from service.wire import fhir_response, read_body, read_json

# Types that a chart may hold; anything else is searched in vain.
_TYPES: Final = (
    "Binary",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "MedicationAdministration",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "QuestionnaireResponse",
)
_CREATED: Final = ("QuestionnaireResponse", "DocumentReference")
# What a launched app may change, with the scope that lets it.
_WRITTEN: Final = {
    "QuestionnaireResponse": "patient/QuestionnaireResponse.cus",
    "DocumentReference": "patient/DocumentReference.cu",
    "MedicationRequest": "patient/MedicationRequest.u",
}


def fhir_router(ehr: DemoEhr, authorization: Authorization, ids: Ids, settings: Settings) -> APIRouter:
    """Routes under /fhir; errors are left to the app, which answers with OperationOutcomes.

    Reading needs no token on this machine, so that a person may look at a record; one that is sent must be good.
    """

    async def known(request: Request) -> Grant | None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return authorization.recognise(token) if scheme.casefold() == "bearer" else None

    router = APIRouter(prefix="/fhir", dependencies=[Depends(only_from_here), Depends(known)])

    @router.get("/metadata")
    async def metadata() -> Response:
        return fhir_response(_capability(ehr.base, ehr.started_on))

    @router.get("/{kind}/{resource_id}")
    async def read(kind: str, resource_id: str) -> Response:
        ehr.open_all()
        return fhir_response(ehr.store.read(kind, resource_id))

    @router.get("/{kind}")
    async def search(kind: str, request: Request) -> Response:
        ehr.open_all()
        found = ehr.store.search(kind, dict(request.query_params))
        return fhir_response(searchset(found, ehr.base))

    @router.post("/_services/smart/Launch")
    async def launch(request: Request) -> Response:
        ehr.open_all()
        asked = read_json(await read_body(request, settings), settings)
        return JSONResponse({"launch_id": authorization.launch(_launched(asked, ehr))})

    @router.post("/{kind}")
    async def create(kind: str, request: Request) -> Response:
        if kind not in _CREATED:
            raise NotSupported(f"Only these are created here: {', '.join(_CREATED)}.")
        sent = await _received(request, kind, await known(request), settings)
        written = ehr.store.write({**sent, "id": ids.new()})
        location = f"{ehr.base}/{kind}/{written['id']}"
        return fhir_response(written, 201, {"Location": location})

    @router.put("/{kind}/{resource_id}")
    async def update(kind: str, resource_id: str, request: Request) -> Response:
        held = ehr.store.read(kind, resource_id)
        grant = await known(request)
        sent = await _received(request, kind, grant, settings)
        _require_patient(held, grant)
        wanted = request.headers.get("if-match")
        if wanted is not None and wanted != f'W/"{version_of(held)}"':
            raise Conflict("Somebody has changed this resource since it was read.")
        return fhir_response(ehr.store.write({**sent, "id": resource_id}))

    return router


def _launched(asked: Any, ehr: DemoEhr) -> Context:
    """What some CDS clients ask of an EHR to turn a "smart" link into a launch: {launchUrl, parameters}.

    InvalidResource, and NotFound for a patient that is not known. Who uses the app is the prescriber.
    """
    parameters = asked.get("parameters") if isinstance(asked, dict) else None
    if not isinstance(parameters, dict) or not isinstance(patient := parameters.get("patient"), str):
        raise InvalidResource("Send launchUrl and parameters with the id of the patient.")
    ehr.store.read("Patient", patient)
    passed = parameters.get("appContext")
    said = read_context(None, passed)
    references = tuple(each for each in (said.order, said.coverage) if each)
    return Context(patient, references, next(iter(USERS)), passed if isinstance(passed, str) else None)


async def _received(request: Request, kind: str, grant: Grant | None, settings: Settings) -> Json:
    """A resource that the token lets its app write; NotAuthenticated, Forbidden, InvalidResource."""
    if grant is None:
        raise NotAuthenticated("Writing to the demo EHR takes an access token of a launch.")
    if _WRITTEN.get(kind) not in grant.scope.split():
        raise Forbidden("The access token does not allow this.")
    sent = read_json(await read_body(request, settings), settings)
    if not isinstance(sent, dict) or sent.get("resourceType") != kind:
        raise InvalidResource(f"The body must be a {kind}.")
    _require_patient(sent, grant)
    return sent


def _require_patient(resource: Json, grant: Grant | None) -> None:
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    if grant is None or reference != f"Patient/{grant.context.patient}":
        raise Forbidden("The access token is for another patient.")


def _capability(base: str, day: str) -> Json:
    reading, writing = [{"code": "read"}, {"code": "search-type"}], [{"code": "update"}]
    interactions = {kind: [*reading, *(writing if kind in _WRITTEN else ())] for kind in _TYPES}
    for kind in _CREATED:
        interactions[kind].append({"code": "create"})
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": day,
        "kind": "instance",
        "implementation": {"description": "The demo EHR: made-up patients, this machine only", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["json"],
        "rest": [
            {"mode": "server", "resource": [{"type": kind, "interaction": interactions[kind]} for kind in _TYPES]}
        ],
    }
