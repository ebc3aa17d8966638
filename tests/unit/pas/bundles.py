"""PAS request Bundles for tests: one complete request, and small changes to it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
NPI = "http://hl7.org/fhir/sid/us-npi"
MEMBER_SYSTEM = "https://payer.example.org/member"
FORM = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial"
MB = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]}

CLAIM = "urn:uuid:a0000000-0000-4000-8000-000000000001"
PATIENT = "urn:uuid:b0000000-0000-4000-8000-000000000001"
COVERAGE = "urn:uuid:c0000000-0000-4000-8000-000000000001"
INSURER = "urn:uuid:d0000000-0000-4000-8000-000000000001"
REQUESTOR = "urn:uuid:e0000000-0000-4000-8000-000000000001"
ROLE = "urn:uuid:10000000-0000-4000-8000-000000000001"
PRACTITIONER = "urn:uuid:20000000-0000-4000-8000-000000000001"
ORDER = "urn:uuid:30000000-0000-4000-8000-000000000001"
RESPONSE = "urn:uuid:40000000-0000-4000-8000-000000000001"

ANSWERS: Json = {
    "birth-date": "1958-02-03",
    "es-sclc": True,
    "progression-on-platinum": True,
    "step-up-dosing": True,
    "neurotoxicity-monitoring": True,
    "female-of-reproductive-potential": False,
}


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def refer(target: str) -> Json:
    return {"reference": target}


def response(answers: Json | None = None, questionnaire: str = FORM) -> Json:
    items = []
    for link_id, value in (ANSWERS if answers is None else answers).items():
        kind = "valueBoolean" if isinstance(value, bool) else "valueDate"
        items.append({"linkId": link_id, "answer": [{kind: value}]})
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "response",
        "questionnaire": questionnaire,
        "status": "completed",
        "subject": refer(PATIENT),
        "authored": "2026-08-30T10:00:00Z",
        **({"item": items} if items else {}),
    }


def item(sequence: int = 1, code: str = "J9026", system: str = HCPCS, **rest: Any) -> Json:
    return {
        "extension": [
            {
                "url": PAS + "extension-serviceItemRequestType",
                "valueCodeableConcept": coded("https://codesystem.x12.org/005010/1525", "HS"),
            },
            {
                "url": PAS + "extension-certificationType",
                "valueCodeableConcept": coded("https://codesystem.x12.org/005010/1322", "I"),
            },
            {
                "url": PAS + "extension-itemTraceNumber",
                "valueIdentifier": {"system": "urn:trnorg:1245319599", "value": f"LINE-{sequence}"},
            },
            {"url": PAS + "extension-requestedService", "valueReference": refer(ORDER)},
        ],
        "sequence": sequence,
        "careTeamSequence": [1],
        "diagnosisSequence": [1],
        "informationSequence": [1],
        "category": coded("https://codesystem.x12.org/005010/1365", "78"),
        "productOrService": coded(system, code),
        "servicedPeriod": {"start": "2026-09-08", "end": "2026-11-30"},
        "locationCodeableConcept": coded(
            "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set", "22"
        ),
        "quantity": {"value": 61, "unit": "unit"},
        **rest,
    }


def claim(*items: Json, **rest: Any) -> Json:
    return {
        "resourceType": "Claim",
        "id": "a0000000-0000-4000-8000-000000000001",
        "identifier": [{"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}],
        "status": "active",
        "type": coded("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
        "use": "preauthorization",
        "patient": refer(PATIENT),
        "created": "2026-09-01T15:04:05Z",
        "insurer": refer(INSURER),
        "provider": refer(REQUESTOR),
        "priority": coded("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
        "careTeam": [{"sequence": 1, "provider": refer(ROLE)}],
        "supportingInfo": [
            {
                "sequence": 1,
                "category": coded(
                    "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes", "additionalInformation"
                ),
                "valueReference": refer(RESPONSE),
            }
        ],
        "diagnosis": [
            {"sequence": 1, "diagnosisCodeableConcept": coded("http://hl7.org/fhir/sid/icd-10-cm", "C34.90")}
        ],
        "insurance": [{"sequence": 1, "focal": True, "coverage": refer(COVERAGE)}],
        "item": list(items) or [item()],
        **rest,
    }


def patient() -> Json:
    return {
        "resourceType": "Patient",
        "id": "b0000000-0000-4000-8000-000000000001",
        "identifier": [{"type": MB, "system": MEMBER_SYSTEM, "value": "M000123"}],
        "name": [{"family": "Doe", "given": ["Jan"]}],
        "gender": "female",
        "birthDate": "1958-02-03",
    }


def insurer(payer_id: str = "PAYER01") -> Json:
    return {
        "resourceType": "Organization",
        "id": "d0000000-0000-4000-8000-000000000001",
        "identifier": [{"system": "https://payer.example.org/payer-id", "value": payer_id}],
        "active": True,
        "name": "Example Health Plan",
    }


def requestor(npi: str = "1245319599") -> Json:
    return {
        "resourceType": "Organization",
        "id": "e0000000-0000-4000-8000-000000000001",
        "identifier": [{"system": NPI, "value": npi}],
        "active": True,
        "name": "Example Oncology Group",
    }


def coverage(**rest: Any) -> Json:
    return {
        "resourceType": "Coverage",
        "id": "c0000000-0000-4000-8000-000000000001",
        "identifier": [{"type": MB, "system": MEMBER_SYSTEM, "value": "M000123"}],
        "status": "active",
        "subscriberId": "M000123",
        "beneficiary": refer(PATIENT),
        "payor": [refer(INSURER)],
        **rest,
    }


def order(code: str = "J9026") -> Json:
    return {
        "resourceType": "MedicationRequest",
        "id": "30000000-0000-4000-8000-000000000001",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": coded(HCPCS, code),
        "subject": refer(PATIENT),
    }


def resources() -> dict[str, Json]:
    """fullUrl -> resource, the Claim first."""
    role = {
        "resourceType": "PractitionerRole",
        "practitioner": refer(PRACTITIONER),
        "organization": refer(REQUESTOR),
    }
    practitioner = {
        "resourceType": "Practitioner",
        "identifier": [{"system": NPI, "value": "1003000126"}],
        "name": [{"family": "Onco"}],
    }
    return {
        CLAIM: claim(),
        PATIENT: patient(),
        INSURER: insurer(),
        REQUESTOR: requestor(),
        COVERAGE: coverage(),
        ROLE: role,
        PRACTITIONER: practitioner,
        ORDER: order(),
        RESPONSE: response(),
    }


def bundle(changed: dict[str, Json] | None = None, **rest: Any) -> Json:
    """A whole request; `changed` replaces or adds entries by fullUrl."""
    return {
        "resourceType": "Bundle",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:50000000-0000-4000-8000-000000000001"},
        "type": "collection",
        "timestamp": "2026-09-01T15:04:05Z",
        "entry": [
            {"fullUrl": url, "resource": resource} for url, resource in (resources() | (changed or {})).items()
        ],
        **rest,
    }
