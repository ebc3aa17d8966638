"""What a launch is about, in every dialect that was seen."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from service.dtr.app.context import LaunchContext, read_context

ORDER, COVERAGE = "MedicationRequest/1", "Coverage/2"
LISTED = [{"reference": ORDER}, {"reference": COVERAGE}]
WHOLE = LaunchContext(order=ORDER, coverage=COVERAGE)


@pytest.mark.parametrize("fhir_context", [LISTED, json.dumps(LISTED), [ORDER, COVERAGE]])
def test_fhir_context_as_a_list_as_text_and_as_plain_references(fhir_context: Any) -> None:
    assert read_context(fhir_context, None) == WHOLE


def test_fhir_context_goes_before_app_context() -> None:
    assert read_context(LISTED, "order=ServiceRequest/9&coverage=Coverage/9") == WHOLE


@pytest.mark.parametrize(
    "app_context",
    [
        urlencode({"order": ORDER, "coverage": COVERAGE}),
        json.dumps({"order": ORDER, "coverage": COVERAGE}),
        {"request": ORDER, "coverage": COVERAGE},
        json.dumps({"orderRef": ORDER, "coverageRef": COVERAGE, "questionnaire": []}),
        urlencode({"order": json.dumps({"resourceType": "MedicationRequest", "id": "1"}), "coverage": COVERAGE}),
    ],
)
def test_app_context_in_every_dialect(app_context: Any) -> None:
    assert read_context(None, app_context) == WHOLE


def test_a_draft_and_a_form_may_be_named() -> None:
    said = read_context([{"reference": "QuestionnaireResponse/3"}], "template=https://payer.example.org/q|1")
    assert (said.response, said.questionnaire) == ("QuestionnaireResponse/3", "https://payer.example.org/q|1")


@pytest.mark.parametrize(
    "odd", [None, "", "%%%", "[", 7, {}, [None, 7, {"reference": 7}], {"order": 7}, "order=x", {"orderRef": [7]}]
)
def test_what_says_nothing_means_nothing(odd: Any) -> None:
    assert read_context(odd, odd) == LaunchContext()
