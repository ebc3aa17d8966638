"""What the payer answers, read into words."""

from __future__ import annotations

from typing import Any

import pytest

from service.demo.hooks import coverage_answers, read_answer
from service.demo.package import read_package
from service.demo.payer import Guides
from service.demo.prefill import prefilled_answers
from service.dtr.app.decision import read_decision
from service.dtr.app.payer import PayerRefused
from service.fhir.build import Json, bundle, entry
from tests.unit.demo.conftest import COVERAGE_INFORMATION, claim_response

FORM = {"resourceType": "Questionnaire", "url": "http://example.org/q"}
PACKED = bundle("collection", [entry("http://example.org/q", FORM)])


def order(*parts: Json) -> Json:
    return {"id": "o", "extension": [{"url": COVERAGE_INFORMATION, "extension": list(parts)}]}


@pytest.mark.parametrize(
    ("code", "status"),
    [("A1", "approved"), ("A3", "denied"), ("A4", "pended"), ("A6", "modified"), ("ZZ", "unknown")],
)
def test_the_review_action_decides_and_not_the_outcome(code: str, status: str) -> None:
    assert read_decision(claim_response(code, outcome="complete")).status == status


def test_notes_that_the_line_points_to_are_apart_from_the_rest() -> None:
    notes = [{"number": 1, "text": "Missing."}, {"number": 2, "text": "By the way."}]
    decision = read_decision(claim_response("A4", processNote=notes))
    assert [note.text for note in decision.notes] == ["Missing."]
    assert [note.text for note in decision.remarks] == ["By the way."]


def test_a_deadline_is_told_as_people_read_it_and_is_nothing_that_is_missing() -> None:
    answer = claim_response("A4", processNote=[{"number": 1, "text": "A decision is due by 2026-11-25T22:48:04Z."}])
    decision = read_decision(answer)
    assert decision.notes == ()
    assert [note.text for note in decision.remarks] == ["A decision is due by 2026-11-25, 22:48 UTC."]


def test_an_error_is_told_in_its_words() -> None:
    response = {"resourceType": "ClaimResponse", "outcome": "error", "error": [{"code": {"text": "No such payer."}}]}
    decision = read_decision(bundle("collection", [entry(None, response)]))
    assert (decision.status, decision.errors) == ("error", ("No such payer.",))


def test_no_claim_response_is_a_refusal() -> None:
    with pytest.raises(PayerRefused):
        read_decision(bundle("collection", []))


@pytest.mark.parametrize(
    "answer",
    [
        PACKED,
        {"resourceType": "Parameters", "parameter": [{"name": "packagebundle", "resource": PACKED}]},
        {"resourceType": "Parameters", "parameter": [{"name": "PackageBundle", "resource": PACKED}]},
        {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": PACKED}]},
    ],
)
def test_a_package_is_read_in_every_versions_shape(answer: Json) -> None:
    assert read_package(answer).questionnaire == FORM


def test_a_package_without_a_form_is_told_in_the_payers_words() -> None:
    told = {"resourceType": "OperationOutcome", "issue": [{"details": {"text": "No form is needed."}}]}
    with pytest.raises(PayerRefused) as refused:
        read_package({"resourceType": "Parameters", "parameter": [{"name": "outcome", "resource": told}]})
    assert "No form is needed." in refused.value.text


def test_coverage_information_is_told_in_words() -> None:
    (told,) = coverage_answers(
        order(
            {"url": "covered", "valueCode": "covered"},
            {"url": "pa-needed", "valueCode": "satisfied"},
            {"url": "satisfied-pa-id", "valueString": "PA-7"},
            {"url": "reason", "valueCodeableConcept": {"text": "On file"}},
            {"url": "expiry-date", "valueDate": "2027-01-01"},
        )
    )
    assert told.statements == (
        "Covered by the plan",
        "An authorization is already on file",
        "Authorization PA-7",
    )
    assert (told.reasons, told.expires, told.needs_form) == (("On file",), "2027-01-01", False)


def test_a_code_without_words_is_shown_as_it_is() -> None:
    (told,) = coverage_answers(order({"url": "covered", "valueCode": "perhaps"}))
    assert told.statements == ("The payer answered perhaps",)


def test_an_update_of_another_order_is_not_applied() -> None:
    action = {"type": "update", "resource": {"id": "other"}}
    assert read_answer({"cards": [], "systemActions": [action]}, {"id": "o"}).order is None


def test_links_lead_to_the_web_only() -> None:
    links = [{"label": "Policy", "url": "https://payer.example.org/p"}, {"label": "x", "url": "javascript:alert(1)"}]
    answer = read_answer({"cards": [{"summary": "s", "links": links}]}, {"id": "o"})
    assert answer.cards[0].links == (("Policy", "https://payer.example.org/p"),)


def test_the_chart_goes_before_the_payers_draft() -> None:
    draft: Any = {"item": [{"linkId": name, "answer": [{"valueString": "draft"}]} for name in ("a", "b")]}
    found = prefilled_answers(draft, [{"linkId": "a", "answer": [{"valueString": "chart"}]}], Guides.NEWEST)
    assert found["a"].values == ({"valueString": "chart"},)
    assert (found["a"].origin, found["b"].origin) == ("auto-client", "auto-server")
    assert prefilled_answers(draft, [], Guides.OLDEST)["b"].origin == "auto"
