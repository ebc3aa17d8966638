"""A policy case as the PAS request Bundle that a provider would send."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from service.cases.table import Given
from service.fhir import build
from service.fhir.canonical import (
    DTR_INFORMATION_ORIGIN,
    HCPCS,
    ICD10_CM,
    IDENTIFIER_TYPE,
    MEMBER_ID_TYPE_CODE,
    NPI,
    PAS_REQUESTED_SERVICE,
)
from service.form.questionnaire import Form, Question, read_form
from service.policy.model import LinkId, PathwayName
from service.ports import LoadedPolicy
from service.settings import Settings

_PATIENT: Final = "https://ehr.example.org/fhir/Patient/p1"
_COVERAGE: Final = "https://ehr.example.org/fhir/Coverage/c1"
_INSURER: Final = "https://ehr.example.org/fhir/Organization/payer"
_PROVIDER: Final = "https://ehr.example.org/fhir/Organization/clinic"
_ORDER: Final = "https://ehr.example.org/fhir/MedicationRequest/m1"
_RESPONSE: Final = "https://ehr.example.org/fhir/QuestionnaireResponse/r"
_MEMBER: Final = "CASE-0001"


def request_bundle(given: Given, loaded: LoadedPolicy, settings: Settings) -> dict[str, Any]:
    """The Bundle of one case; what the case leaves out is as in a request that nothing is wrong with."""
    pathway = loaded.policy.pathways[PathwayName(given.form)]
    questionnaire = loaded.questionnaires[pathway.questionnaire]
    canonical = f"{questionnaire['url']}|{given.form_version or questionnaire['version']}"
    responses = [_response(given, read_form(questionnaire), canonical, given.answers)]
    if given.second_response is not None:
        responses.append(_response(given, read_form(questionnaire), canonical, given.second_response))
    entries = [
        build.entry("urn:uuid:00000000-0000-4000-8000-000000000001", _claim(given, loaded, len(responses))),
        build.entry(_PATIENT, _patient(given, settings)),
        build.entry(_COVERAGE, _coverage(given, settings)),
        build.entry(_INSURER, _organization("payer", settings.payer_id_system, settings.payer_id)),
        build.entry(_PROVIDER, _organization("clinic", NPI, "1234567893")),
        *(build.entry(f"{_RESPONSE}{number}", response) for number, response in enumerate(responses, start=1)),
    ]
    if given.order is not None:
        entries.append(build.entry(_ORDER, _order(given, loaded)))
    return build.bundle("collection", entries, timestamp="2026-01-01T00:00:00Z")


def _claim(given: Given, loaded: LoadedPolicy, responses: int) -> dict[str, Any]:
    requested = [build.extension(PAS_REQUESTED_SERVICE, valueReference=build.reference(_ORDER))]
    item = {
        "extension": requested if given.order is not None else None,
        "sequence": 1,
        "productOrService": _concept(given, loaded),
        "servicedPeriod": _period(given.serviced, given.serviced_end) if given.serviced_end else None,
        "servicedDate": None if given.serviced_end else _text(given.serviced),
        "quantity": {"value": given.quantity, "unit": given.unit} if given.quantity is not None else None,
    }
    return {
        "resourceType": "Claim",
        "id": "claim",
        "status": "active",
        "type": build.code_concept("http://terminology.hl7.org/CodeSystem/claim-type", "professional"),
        "use": "preauthorization",
        "patient": build.reference(_PATIENT),
        "created": _text(given.created or given.serviced),
        "insurer": build.reference(_INSURER),
        "provider": build.reference(_PROVIDER),
        "priority": build.code_concept("http://terminology.hl7.org/CodeSystem/processpriority", "normal"),
        "supportingInfo": [
            {
                "sequence": number,
                "category": {"text": "form"},
                "valueReference": build.reference(f"{_RESPONSE}{number}"),
            }
            for number in range(1, responses + 1)
        ],
        **(
            {
                "diagnosis": [
                    {"sequence": number, "diagnosisCodeableConcept": build.code_concept(ICD10_CM, code)}
                    for number, code in enumerate(given.diagnoses, start=1)
                ]
            }
            if given.diagnoses
            else {}
        ),
        "insurance": [{"sequence": 1, "focal": True, "coverage": build.reference(_COVERAGE)}],
        "item": [build.prune(item)],
    }


def _concept(given: Given, loaded: LoadedPolicy) -> dict[str, Any]:
    billing = loaded.policy.drug.billing
    if given.code == "":
        return {"text": given.text or ""}
    coding = build.coding(given.code_system or (HCPCS if given.code else billing.system), given.code or billing.code)
    return {"coding": [coding], **({"text": given.text} if given.text else {})}


def _patient(given: Given, settings: Settings) -> dict[str, Any]:
    patient = {"resourceType": "Patient", "id": "p1", "identifier": [_member_id(settings)]}
    return patient | ({"birthDate": _text(given.birth_date)} if given.birth_date else {})


def _coverage(given: Given, settings: Settings) -> dict[str, Any]:
    return {
        "resourceType": "Coverage",
        "id": "c1",
        "identifier": [_member_id(settings)],
        "status": "active",
        "beneficiary": build.reference(_PATIENT),
        "payor": [build.reference(_INSURER)],
        **given.coverage,
    }


def _member_id(settings: Settings) -> dict[str, Any]:
    kind = build.code_concept(IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE)
    return build.identifier(settings.member_system, _MEMBER, kind=kind)


def _organization(name: str, system: str, value: str) -> dict[str, Any]:
    identifiers = [build.identifier(system, value)]
    return {"resourceType": "Organization", "id": name, "identifier": identifiers, "name": name}


def _order(given: Given, loaded: LoadedPolicy) -> dict[str, Any]:
    billing = loaded.policy.drug.billing
    return {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": build.code_concept(billing.system, billing.code),
        "subject": build.reference(_PATIENT),
        **(given.order or {}),
    }


def _response(given: Given, form: Form, canonical: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": canonical,
        "status": given.response_status,
        "subject": build.reference(given.response_subject or _PATIENT),
        "authored": _text(given.authored or given.created or given.serviced),
        **({"item": [_item(form, given, link_id, value) for link_id, value in answers.items()]} if answers else {}),
    }


def _item(form: Form, given: Given, link_id: str, value: Any) -> dict[str, Any]:
    values = value if isinstance(value, list) else [value]
    question = form.questions.get(LinkId(link_id))
    source = "auto" if link_id in given.automatic else "manual"
    origin = build.nested_extension(DTR_INFORMATION_ORIGIN, build.extension("source", valueCode=source))
    return {"linkId": link_id, "answer": [{"extension": [origin], **_answer(question, one)} for one in values]}


def _answer(question: Question | None, value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if question is None:
        return {"valueBoolean": value} if isinstance(value, bool) else {"valueString": _text(value)}
    return {question.value_element: _text(value) if isinstance(value, date) else value}


def _period(start: date | str | None, end: date | str | None) -> dict[str, Any]:
    return build.period(_text(start), _text(end))


def _text(value: Any) -> str | None:
    return value.isoformat() if isinstance(value, date) else value
