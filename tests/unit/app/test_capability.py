"""What the CapabilityStatement says: every operation that DTR demands of a payer, and what can be read of PAS."""

from __future__ import annotations

import json

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.app.capability import capability_statement
from service.fhir.canonical import DTR_OPERATION_LOG_ERRORS, DTR_OPERATION_PACKAGE
from service.settings import Settings


@pytest.mark.parametrize(("base", "dtr", "pas"), [("/fhir", "2.2.0", "2.2.1"), ("/2.0.1/fhir", "2.0.1", "2.0.1")])
def test_the_operations_of_dtr(base: str, dtr: str, pas: str) -> None:
    statement = capability_statement(Settings(), base, dtr=dtr, pas=pas)
    get_fhir_model_class("CapabilityStatement").model_validate(json.loads(json.dumps(statement)))
    [rest] = statement["rest"]
    found = {
        (resource["type"], operation["name"]): operation["definition"]
        for resource in rest["resource"]
        for operation in resource.get("operation", ())
        if resource["type"] in {"Questionnaire", "Library", "ValueSet"}
    }
    assert found == {
        ("Questionnaire", "questionnaire-package"): DTR_OPERATION_PACKAGE,
        (
            "Questionnaire",
            "next-question",
        ): "http://hl7.org/fhir/uv/sdc/OperationDefinition/Questionnaire-next-question",
        ("Questionnaire", "log-questionnaire-errors"): DTR_OPERATION_LOG_ERRORS,
        ("ValueSet", "expand"): "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
    }


def test_what_an_answer_refers_to_can_be_read() -> None:
    [rest] = capability_statement(Settings(), "/fhir", dtr="2.2.0", pas="2.2.1")["rest"]
    only_read = {one["type"] for one in rest["resource"] if one.get("interaction") == [{"code": "read"}]}
    assert only_read == {"ClaimResponse", "CommunicationRequest", "Task"}
