"""What the criteria library is given for one line, and how its answers become findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from service.determine.request import PriorAuthRequest, RequestLine
from service.determine.responses import Counted
from service.errors import EngineFailed
from service.fhir.canonical import ICD10_CM, ICD10_CM_SYSTEMS
from service.policy.dates import PartialDate
from service.policy.finding import CriterionResult, Evidence
from service.policy.model import Pathway
from service.ports import CqlDate, Evaluation, LoadedPolicy, Resource

_PATIENT_ID: Final = "patient"


def evaluation(
    request: PriorAuthRequest,
    line: RequestLine,
    counted: Counted,
    loaded: LoadedPolicy,
    at: tuple[PartialDate, datetime],
) -> Evaluation:
    """The evaluation of a line: its patient, its counting answers laid flat, its diagnoses, its first service date.

    `at` is the first service date and the instant of receipt.
    """
    first, now = at
    defines = [
        name for c in counted.pathway.criteria for name in (c.define, f"{c.define} Evidence", f"{c.define} Conflicts")
    ]
    return Evaluation(
        logic=loaded.logic,
        library=loaded.criteria,
        defines=tuple(dict.fromkeys(defines)),
        records=(_patient(request.patient), _response(counted), _claim(line)),
        parameters={"Service Date": CqlDate(str(first))},
        now=now,
    )


def results(pathway: Pathway, values: Mapping[str, Any]) -> dict[str, CriterionResult]:
    """What CQL answered, by define. EngineFailed when a value is not of the shape that criteria have."""
    found: dict[str, CriterionResult] = {}
    for criterion in pathway.criteria:
        holds = values.get(criterion.define)
        if holds is not None and not isinstance(holds, bool):
            raise EngineFailed(f'The define "{criterion.define}" is neither true, false nor null.')
        found[criterion.define] = CriterionResult(
            holds=holds,
            evidence=_evidence(values.get(f"{criterion.define} Evidence")),
            conflicts=_evidence(values.get(f"{criterion.define} Conflicts")),
        )
    return found


def _evidence(value: object) -> tuple[Evidence, ...]:
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise EngineFailed("An evidence define is not a list.")
    entries = [entry for entry in value if isinstance(entry, Mapping)]
    return tuple(Evidence(*(str(entry.get(key) or "") for key in ("source", "path", "shown"))) for entry in entries)


def _patient(patient: Resource) -> Resource:
    """Only what criteria may look at: identifiers and contact details have no place in an evaluation."""
    kept = {key: patient[key] for key in ("birthDate", "gender", "extension") if key in patient}
    return {"resourceType": "Patient", "id": _PATIENT_ID, **kept}


def _response(counted: Counted) -> Resource:
    items = [
        {"linkId": link_id, "answer": [_answer(counted, link_id, value) for value in _each(value)]}
        for link_id, value in counted.reading.answers.items()
    ]
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "answers",
        "status": "completed",
        "questionnaire": counted.pathway.questionnaire,
        "subject": {"reference": f"Patient/{_PATIENT_ID}"},
        "item": items,
    }


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _answer(counted: Counted, link_id: Any, value: Any) -> dict[str, Any]:
    question = counted.form.questions[link_id]
    return {question.element_of(value): float(value) if isinstance(value, Decimal) else value}


def _claim(line: RequestLine) -> Resource:
    return {
        "resourceType": "Claim",
        "id": "request",
        "status": "active",
        "use": "preauthorization",
        "patient": {"reference": f"Patient/{_PATIENT_ID}"},
        "diagnosis": [
            {"sequence": number, "diagnosisCodeableConcept": _diagnosis(diagnosis["diagnosisCodeableConcept"])}
            for number, diagnosis in enumerate(line.diagnoses, start=1)
            if "diagnosisCodeableConcept" in diagnosis
        ],
        "item": [{"sequence": line.sequence, "productOrService": line.item.get("productOrService")}],
    }


def _diagnosis(concept: Mapping[str, Any]) -> Mapping[str, Any]:
    """The concept with ICD-10-CM under its one name, whichever of its names the sender used."""
    codings = [
        {**coding, "system": ICD10_CM} if coding.get("system") in ICD10_CM_SYSTEMS else coding
        for coding in concept.get("coding") or ()
    ]
    return {**concept, "coding": codings} if codings else concept
