"""Discovery: the services that are offered, and the prefetch that they can use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.crd.configuration import OPTIONS
from service.fhir.build import Json
from service.fhir.canonical import CRD_JSON_CONFIGURATION_OPTIONS, CRD_JSON_VERSION, CRD_WIRE_VERSIONS

# Service id -> hook. Distinct ids, so that one answer never replaces another's cards.
SERVICES: Final[Mapping[str, str]] = {"order-sign-crd": "order-sign", "order-select-crd": "order-select"}

COVERAGE_KEY: Final = "coverage"
# Templates that every client can fill come first; those with FHIRPath save a query where a client knows it. The
# last is the standard template of CRD 2.2.1 (found-29), word for word.
_PREFETCH: Final[Mapping[str, str]] = {
    "patient": "Patient/{{context.patientId}}",
    COVERAGE_KEY: "Coverage?patient={{context.patientId}}&status=active",
    "medications": (
        "Medication?_id={{context.draftOrders.entry.resource.ofType(MedicationRequest).medication.resolve().id}}"
    ),
}
_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "order-sign": (
        "Coverage requirements of orders being signed",
        "Says for each order whether it is covered, whether prior authorization is needed, and which form to fill",
    ),
    "order-select": (
        "Coverage requirements of orders being selected",
        "Says early for each selected order whether prior authorization will be needed",
    ),
}


def discovery() -> Json:
    """The answer to GET /cds-services (CDS Hooks discovery; CRD 2.2.1 dev-1, dev-2, dev-4)."""
    return {"services": [_service(service_id, hook) for service_id, hook in SERVICES.items()]}


def _service(service_id: str, hook: str) -> Json:
    title, description = _TEXTS[hook]
    return {
        "hook": hook,
        "id": service_id,
        "title": title,
        "description": description,
        "prefetch": dict(_PREFETCH),
        "extension": {
            CRD_JSON_VERSION: sorted(CRD_WIRE_VERSIONS),
            CRD_JSON_CONFIGURATION_OPTIONS: [dict(option) for option in OPTIONS],
        },
    }
