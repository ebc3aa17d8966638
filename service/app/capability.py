"""CapabilityStatements: what each FHIR base can do, in the versions of DTR and PAS that it speaks."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import Response

from service.fhir import build as fhir
from service.fhir.canonical import (
    CDEX_OPERATION_SUBMIT_ATTACHMENT,
    CORE_OPERATION_EXPAND,
    DTR_GUIDE,
    DTR_OPERATION_LOG_ERRORS,
    DTR_OPERATION_PACKAGE,
    FHIR_VERSION,
    PAS_GUIDE,
    PAS_OPERATION_INQUIRE,
    PAS_OPERATION_SUBMIT,
    PAS_SUBSCRIPTION_TOPIC,
    SDC_OPERATION_NEXT_QUESTION,
    SUBSCRIPTION_OPERATION_STATUS,
    SUBSCRIPTION_TOPIC_OF_SERVER,
    versioned,
)
from service.settings import Settings
from service.wire import fhir_response

# When the interface last changed; CapabilityStatement.date is mandatory.
_DATE: Final = "2026-11-22"
# As the guide's dtr-payer-service names them; no `instantiates`, since that also claims how it is deployed (HRex).
_OPERATIONS: Final = {
    "Questionnaire": {
        "questionnaire-package": DTR_OPERATION_PACKAGE,
        "next-question": SDC_OPERATION_NEXT_QUESTION,
        "log-questionnaire-errors": DTR_OPERATION_LOG_ERRORS,
    },
    "ValueSet": {"expand": CORE_OPERATION_EXPAND},
}
_DOCUMENTED: Final = {
    "next-question": "Asks and decides nothing: no coverage-information and no authorization comes back.",
}
_SMART_SECURITY: Final = "http://terminology.hl7.org/CodeSystem/restful-security-service"


def build(settings: Settings, base: str, *, dtr: str, pas: str) -> APIRouter:
    """GET {base}/metadata. `dtr` and `pas` are the guide versions of this base."""
    router = APIRouter()
    statement = capability_statement(settings, base, dtr=dtr, pas=pas)

    @router.get("/metadata")
    async def metadata() -> Response:
        return fhir_response(statement)

    return router


def capability_statement(settings: Settings, base: str, *, dtr: str, pas: str) -> dict[str, Any]:
    """The statement of one FHIR base (kind instance, R4)."""
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{settings.base_url}{base}/metadata",
        "name": "PriorAuthorizationService",
        "title": f"Prior authorization of {settings.payer_name}",
        "status": "active",
        "date": _DATE,
        "publisher": settings.payer_name,
        "kind": "instance",
        "implementation": {"description": f"DTR {dtr} and PAS {pas}", "url": f"{settings.base_url}{base}"},
        "fhirVersion": FHIR_VERSION,
        "format": ["json"],
        "implementationGuide": [versioned(DTR_GUIDE, dtr), versioned(PAS_GUIDE, pas)],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": bool(settings.cors_origins),
                    "service": [fhir.code_concept(_SMART_SECURITY, "SMART-on-FHIR")],
                    "description": "SMART Backend Services; see .well-known/smart-configuration",
                },
                "resource": [*map(_definitional, ("Library", "Questionnaire", "ValueSet")), *_claims()],
                "operation": [{"name": "submit-attachment", "definition": CDEX_OPERATION_SUBMIT_ATTACHMENT}],
            }
        ],
    }


def _definitional(kind: str) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "type": kind,
        "interaction": [{"code": "read"}, {"code": "search-type"}],
        "searchParam": [{"name": "url", "type": "uri"}, {"name": "version", "type": "token"}],
    }
    operations = _OPERATIONS.get(kind)
    if operations:
        entry["operation"] = [
            {"name": name, "definition": url, **({"documentation": said} if (said := _DOCUMENTED.get(name)) else {})}
            for name, url in operations.items()
        ]
    return entry


def _claims() -> list[dict[str, Any]]:
    operations = [
        {"name": "submit", "definition": PAS_OPERATION_SUBMIT},
        {"name": "inquire", "definition": PAS_OPERATION_INQUIRE},
    ]
    return [
        {"type": "Claim", "operation": operations},
        # What an answer refers to and we keep.
        *(
            {"type": kind, "interaction": [{"code": "read"}]}
            for kind in ("ClaimResponse", "CommunicationRequest", "Task")
        ),
        {
            "extension": [fhir.extension(SUBSCRIPTION_TOPIC_OF_SERVER, valueCanonical=PAS_SUBSCRIPTION_TOPIC)],
            "type": "Subscription",
            "interaction": [{"code": code} for code in ("create", "read", "update", "delete")],
            "operation": [{"name": "status", "definition": SUBSCRIPTION_OPERATION_STATUS}],
        },
    ]
