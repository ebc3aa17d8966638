"""Every error has one status, and the OperationOutcome says what was wrong without saying what was received."""

import inspect

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service import errors
from service.errors import Fault, InvalidResource, ServiceError
from service.fhir.outcome import answer_for, issue, operation_outcome, outcome
from service.fhir.parse import StructureCheck

FAMILY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ServiceError)]
CALLERS_FAULT = {
    "InvalidResource": 400,
    "MissingElement": 400,
    "UnresolvedReference": 400,
    "NotSupported": 400,
    "NotAuthenticated": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "TooSlow": 408,
    "Conflict": 409,
    "PrefetchMissing": 412,
    "TooLarge": 413,
    "BusinessRule": 422,
}


@pytest.mark.parametrize("kind", [kind for kind in FAMILY if kind is not ServiceError])
def test_every_error_has_its_own_row(kind: type[ServiceError]) -> None:
    status = answer_for(kind("text")).status
    assert status == CALLERS_FAULT.get(kind.__name__, status)
    assert (status < 500) == (kind.__name__ in CALLERS_FAULT)


def test_a_new_kind_takes_its_parents_row() -> None:
    class Malformed(InvalidResource):
        pass

    assert answer_for(Malformed("text")).status == 400


@pytest.mark.parametrize("kind", FAMILY)
def test_the_outcome_is_valid_and_says_the_text_twice(kind: type[ServiceError], check: StructureCheck) -> None:
    made = operation_outcome(kind("What was wrong.", expression=("Bundle.entry[0]",)))
    assert check.check(made) == ()
    get_fhir_model_class("OperationOutcome").model_validate(made)
    (only,) = made["issue"]
    assert only["details"]["text"] == only["diagnostics"] == "What was wrong."
    assert only["expression"] == ["Bundle.entry[0]"]


def test_each_fault_is_an_issue_with_its_place_and_code() -> None:
    faults = (Fault("Claim.status", "is missing", "required"), Fault("Claim.use", "is empty"))
    made = operation_outcome(InvalidResource("two faults", faults=faults))
    assert [(one["code"], one["expression"], one["diagnostics"]) for one in made["issue"]] == [
        ("required", ["Claim.status"], "Claim.status is missing."),
        ("structure", ["Claim.use"], "Claim.use is empty."),
    ]


def test_an_error_without_a_place_has_no_expression() -> None:
    assert "expression" not in operation_outcome(InvalidResource("text"))["issue"][0]


def test_an_unexpected_failure_says_nothing_of_its_own() -> None:
    made = operation_outcome(ValueError("Ann Smith, born 1970-01-01"), request_id="r-1")
    assert answer_for(ValueError()).status == 500
    assert "Smith" not in str(made)
    assert "1970" not in str(made)
    assert "r-1" in made["issue"][0]["diagnostics"]
    assert made["issue"][0]["severity"] == "fatal"


def test_an_outcome_needs_an_issue() -> None:
    with pytest.raises(ValueError, match="issue"):
        outcome()
    assert outcome(issue("warning", "informational", "a"))["issue"][0]["severity"] == "warning"
