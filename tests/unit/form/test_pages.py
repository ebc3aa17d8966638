"""The pages of an adaptive form, and which form a response to one answers."""

from __future__ import annotations

from typing import Any

import pytest

from service.app.parts import Rules
from service.form.adaptive import answered_form
from service.form.pages import MOST_QUESTIONS, pages
from service.form.questionnaire import read_form
from service.policy.model import INITIAL, RENEWAL, PathwayName


@pytest.mark.parametrize(
    ("pathway", "wanted"),
    [
        (
            INITIAL,
            [
                ["birth-date", "es-sclc"],
                ["platinum-agent", "platinum-start", "progression-on-platinum", "progression-date"],
                ["step-up-dosing", "neurotoxicity-monitoring", "female-of-reproductive-potential"],
            ],
        ),
        (RENEWAL, None),
    ],
)
def test_pages_follow_the_policys_criteria(
    rules: Rules, pathway: PathwayName, wanted: list[list[str]] | None
) -> None:
    loaded = rules.registry.all()[0]
    chosen = loaded.policy.pathways[pathway]
    form = read_form(loaded.questionnaires[chosen.questionnaire])
    found = [list(page) for page in pages(form, chosen)]
    assert sorted(q for page in found for q in page) == sorted(form.questions)
    page_of = {q: number for number, page in enumerate(found) for q in page}
    for criterion in chosen.criteria:
        assert len({page_of[q] for q in criterion.link_ids}) == 1
    firsts = [page_of[criterion.link_ids[0]] for criterion in chosen.criteria]
    assert firsts == sorted(firsts)
    assert all(len(page) <= MOST_QUESTIONS for page in found)
    if wanted is not None:
        assert found[:2] == wanted[:2]
        assert found[2][:3] == wanted[2]


URL = "https://payer.example.org/fhir/Questionnaire/f"


def response(questionnaire: str, *contained: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "QuestionnaireResponse", "questionnaire": questionnaire, "contained": list(contained)}


def form(*derived_from: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Questionnaire", "id": "q", "derivedFrom": list(derived_from)} | more


def test_the_form_that_a_response_answers() -> None:
    assert answered_form(response(f"{URL}|1")) == f"{URL}|1"
    assert answered_form(response(f"{URL}-adaptive|1")) == f"{URL}|1"
    assert answered_form(response("#q", form(f"{URL}-adaptive|1"))) == f"{URL}|1"
    assert answered_form(response("#q", form(URL))) == URL


def test_what_says_nothing_or_two_things_is_no_form() -> None:
    assert answered_form({}) is None
    assert answered_form(response("#q")) is None
    assert answered_form(response("#other", form(URL))) is None
    assert answered_form(response("#q", form())) is None
    assert answered_form(response("#q", form(URL, URL + "2"))) is None
    assert answered_form(response("#q", form(URL), form(URL))) is None
    assert answered_form(response("#q", form(URL, resourceType="Library"))) is None
    assert answered_form(response("#q", form(url=URL))) is None
