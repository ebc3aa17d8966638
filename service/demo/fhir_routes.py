"""The demo EHR's FHIR base: read, search within one patient, and what it can do."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Depends, Request, Response

from service.demo.ehr import DemoEhr
from service.demo.pages import only_from_here
from service.demo.store import searchset
from service.fhir.build import Json
from service.fhir.canonical import FHIR_VERSION
from service.wire import fhir_response

# Types that a chart may hold; anything else is searched in vain.
_TYPES: Final = (
    "Condition",
    "Coverage",
    "MedicationAdministration",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
)


def fhir_router(ehr: DemoEhr) -> APIRouter:
    """Routes under /fhir; errors are left to the app, which answers with OperationOutcomes."""
    router = APIRouter(prefix="/fhir", dependencies=[Depends(only_from_here)])

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

    return router


def _capability(base: str, day: str) -> Json:
    interactions = [{"code": "read"}, {"code": "search-type"}]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": day,
        "kind": "instance",
        "implementation": {"description": "The demo EHR: made-up patients, this machine only", "url": base},
        "fhirVersion": FHIR_VERSION,
        "format": ["json"],
        "rest": [{"mode": "server", "resource": [{"type": kind, "interaction": interactions} for kind in _TYPES]}],
    }
