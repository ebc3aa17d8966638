"""Discovery: the services that are offered, and the prefetch that they can use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from service.crd.configuration import OPTIONS
from service.fhir.build import Json
from service.fhir.canonical import CRD_JSON_CONFIGURATION_OPTIONS, CRD_JSON_VERSION, CRD_WIRE_VERSIONS

# Service id -> hook. Distinct ids, so that one answer never replaces another's cards.
SERVICES: Final[Mapping[str, str]] = {
    f"{hook}-crd": hook
    for hook in (
        "order-sign",
        "order-select",
        "order-dispatch",
        "appointment-book",
        "encounter-start",
        "encounter-discharge",
    )
}

COVERAGE_KEY: Final = "coverage"
# Resource type -> prefetch key of the orders that a hook names and does not carry.
ORDER_KEYS: Final[Mapping[str, str]] = {
    "MedicationRequest": "medicationRequests",
    "ServiceRequest": "serviceRequests",
    "DeviceRequest": "deviceRequests",
    "NutritionOrder": "nutritionOrders",
    "CommunicationRequest": "communicationRequests",
    "VisionPrescription": "visionPrescriptions",
}
# Templates that every client can fill come first; those with FHIRPath save a query where a client knows it. Those
# are the standard templates of CRD 2.2.1 (CRDServices, found-29), word for word.
_TOKENS_ONLY: Final[Mapping[str, str]] = {
    "patient": "Patient/{{context.patientId}}",
    COVERAGE_KEY: "Coverage?patient={{context.patientId}}&status=active",
}


def _people(*named: str) -> dict[str, str]:
    """Whoever is named at those FHIRPaths and in the encounter: a waiver may know the prescriber by the NPI."""
    encounter = "%encounter.participant.individual"
    role, person = "PractitionerRole", "Practitioner"
    return {
        "encounter": "Encounter/{{context.encounterId}}",
        "practitionerRoles": _by_ids(role, _resolved(role, (encounter, *named))),
        "practitioners": _by_ids(
            person,
            ("%practitionerRoles.entry.resource.practitioner.resolve().id", *_resolved(person, (encounter, *named))),
        ),
    }


def _by_ids(kind: str, ids: Sequence[str]) -> str:
    return f"{kind}?_id={{{{{'|'.join(ids)}}}}}"


def _resolved(kind: str, named: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{path}.resolve().ofType({kind}).id" for path in named)


def _of(resources: str, elements: str) -> Iterator[str]:
    return (f"{resources}.entry.resource.{element}" for element in elements.split())


_DRAFTS: Final[Mapping[str, str]] = {
    "medications": (
        "Medication?_id={{context.draftOrders.entry.resource.ofType(MedicationRequest).medication.resolve().id}}"
    ),
    **_people(*_of("context.draftOrders", "sender recipient requester performer orderer prescriber")),
}
_CARRIED_OUT: Final = (
    *_of("%deviceRequests", "performer requester"),
    *_of("%medicationRequests", "performer requester"),
    *_of("%serviceRequests", "performer requester"),
)
_OF_ORDERS: Final = "Medication?_id={{%medicationRequests.entry.resource.medication.resolve().id}}"
_BASED_ON: Final = (
    "{{context.appointments.entry.resource.basedOn"
    ".extension('http://hl7.org/fhir/StructureDefinition/alternate-reference').value.resolve()"
)
# On the encounter hooks the orders in force are what the policies may have something to say about.
_IN_FORCE: Final[Mapping[str, str]] = {
    ORDER_KEYS["MedicationRequest"]: "MedicationRequest?patient={{context.patientId}}&status=active",
    ORDER_KEYS["ServiceRequest"]: "ServiceRequest?patient={{context.patientId}}&status=active",
    "medications": _OF_ORDERS,
}
_PREFETCH: Final[Mapping[str, Mapping[str, str]]] = {
    "order-sign": _DRAFTS,
    "order-select": _DRAFTS,
    "order-dispatch": {
        **{
            key: f"{kind}?_id={{{{context.dispatchedOrders.resolve().ofType({kind}).id}}}}"
            for kind, key in ORDER_KEYS.items()
        },
        "medications": _OF_ORDERS,
        **_people(
            *_of("%communicationRequests", "sender recipient requester"),
            *_CARRIED_OUT,
            *_of("%nutritionOrders", "orderer"),
            *_of("%visionPrescriptions", "prescriber"),
        ),
    },
    "appointment-book": {
        ORDER_KEYS["DeviceRequest"]: f"DeviceRequest?_id={_BASED_ON}.ofType(DeviceRequest).id}}}}",
        ORDER_KEYS["ServiceRequest"]: (
            "ServiceRequest?_id={{context.appointments.entry.resource.basedOn.resolve().ofType(ServiceRequest).id}}"
        ),
        ORDER_KEYS["MedicationRequest"]: f"MedicationRequest?_id={_BASED_ON}.ofType(MedicationRequest).id}}}}",
        "medications": _OF_ORDERS,
        **_people(*_of("context.appointments", "participant.actor"), *_CARRIED_OUT),
    },
    "encounter-start": _IN_FORCE,
    "encounter-discharge": _IN_FORCE,
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
    "order-dispatch": (
        "Coverage requirements of orders being sent to a performer",
        "Says for each order that is sent out whether it is covered and whether prior authorization is needed",
    ),
    "appointment-book": (
        "Coverage requirements of appointments being booked",
        "Says for what is booked whether it is covered and whether prior authorization is needed for that day",
    ),
    "encounter-start": (
        "Coverage requirements at the start of an encounter",
        "Says for the patient's active orders that a policy is about whether prior authorization is needed",
    ),
    "encounter-discharge": (
        "Coverage requirements at discharge",
        "Says for the patient's active orders that a policy is about what is still needed after discharge",
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
        "prefetch": {**_TOKENS_ONLY, **_PREFETCH[hook]},
        "extension": {
            CRD_JSON_VERSION: sorted(CRD_WIRE_VERSIONS),
            CRD_JSON_CONFIGURATION_OPTIONS: [dict(option) for option in OPTIONS],
        },
    }
