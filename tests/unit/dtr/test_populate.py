"""Drafts filled from the chart: what is filled, by whom it says it was filled, and what never is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.catalog.registry import Registry
from service.dtr.populate import UNREADABLE, Chart, ChartLogic, Populated, populate, unfilled
from service.dtr.versions import Version
from service.engine.evaluator import V8Engine
from service.engine.prepare import prepare
from service.errors import DeadlinePassed, EngineFailed, ServiceError
from service.policy.model import LinkId
from tests.unit.dtr.samples import (
    INITIAL,
    NOW,
    VERSIONS,
    EvaluatorDouble,
    Json,
    Service,
    answers,
    draft,
    issues,
    order,
    patient,
    request_for,
    resource,
    validate,
    walk,
)

CHART = Chart((patient(),), "p1")
ATTESTED = {"step-up-dosing", "neurotoxicity-monitoring", "contraception-counseling"}
COMPLETE: dict[str, Any] = {
    "Birth Date": {"type": "Date", "value": "1958-02-03"},
    "Extensive Stage SCLC": True,
    "Progression on Platinum": True,
    "Female of Reproductive Potential": False,
    "Platinum Agent": "Carboplatin",
    "Platinum Start": {"type": "Date", "value": "2026-02"},
    "Progression Date": {"type": "Date", "value": "2026-05-01"},
}


async def filled(
    registry: Registry, found: dict[str, Any], chart: Chart | None = CHART, form: Json | None = None
) -> Populated:
    loaded = registry.all()[0]
    logic = ChartLogic(EvaluatorDouble(found), prepare)
    questionnaire = form or loaded.questionnaires[INITIAL]
    return await populate(loaded, questionnaire, chart, logic=logic, origin="auto-client", now=NOW)


def values(populated: Populated) -> Json:
    return answers({"item": list(populated.items)})


def asked(populated: Populated) -> list[str]:
    return [item["linkId"] for item in walk({"item": list(populated.items)})]


async def test_answers_have_their_questions_types_and_places(registry: Registry) -> None:
    populated = await filled(registry, COMPLETE)
    assert values(populated) == {
        "birth-date": "1958-02-03",
        "es-sclc": True,
        "platinum-agent": "Carboplatin",
        "platinum-start": "2026-02",
        "progression-on-platinum": True,
        "progression-date": "2026-05-01",
        "female-of-reproductive-potential": False,
    }
    group = populated.items[0]
    assert group["linkId"] == "diagnosis"
    assert group["item"][0] == {
        "linkId": "birth-date",
        "text": "Patient\u2019s date of birth",
        "answer": [
            {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/information-origin",
                        "extension": [{"url": "source", "valueCode": "auto-client"}],
                    }
                ],
                "valueDate": "1958-02-03",
            }
        ],
    }


async def test_questions_left_open_are_asked_and_disabled_ones_are_not(registry: Registry) -> None:
    populated = await filled(registry, {"Birth Date": None})
    assert values(populated) == {}
    assert "es-sclc" in asked(populated)
    assert "contraception-counseling" not in asked(populated)
    assert "progression-date" not in asked(populated)
    female = await filled(registry, {"Female of Reproductive Potential": True})
    assert "contraception-counseling" in asked(female)


async def test_an_answer_to_a_question_that_is_not_asked_is_left_out(registry: Registry) -> None:
    found = COMPLETE | {"Progression on Platinum": None}
    populated = await filled(registry, found)
    assert "progression-date" not in values(populated)
    assert LinkId("progression-date") not in populated.answers


async def test_the_prescribers_own_word_is_never_filled(registry: Registry) -> None:
    """Even where a form has an expression for it."""
    loaded = registry.all()[0]
    form: Json = {**loaded.questionnaires[INITIAL]}
    expression = form["item"][0]["item"][1]["extension"]
    form["item"] = [
        {**group, "item": [{**i, "extension": expression} if i["linkId"] in ATTESTED else i for i in group["item"]]}
        for group in form["item"]
    ]
    found = dict.fromkeys(COMPLETE, True)
    populated = await filled(registry, found, form=form)
    assert values(populated)["es-sclc"] is True
    assert values(populated)["female-of-reproductive-potential"] is True
    assert not ATTESTED & values(populated).keys()
    freed = replace(loaded, policy=replace(loaded.policy, attested=frozenset()))
    logic = ChartLogic(EvaluatorDouble(found), prepare)
    other = await populate(freed, form, CHART, logic=logic, origin="auto", now=NOW)
    assert values(other).keys() >= ATTESTED


async def test_evidence_stands_beside_answers_and_open_questions(registry: Registry) -> None:
    row = {"source": "Condition", "path": "code", "shown": "SCLC", "reference": "Condition/c"}
    found = {"Extensive Stage SCLC": True, "Extensive Stage SCLC Evidence": [row]}
    found |= {"Progression on Platinum Evidence": [{**row, "reference": None}, {"source": 1}]}
    populated = await filled(registry, found)
    assert [e.reference for e in populated.evidence[LinkId("es-sclc")]] == ["Condition/c"]
    assert [e.reference for e in populated.evidence[LinkId("progression-on-platinum")]] == [None]
    assert values(populated) == {"es-sclc": True}


@pytest.mark.parametrize(
    ("define", "value"),
    [
        ("Extensive Stage SCLC", "yes"),
        ("Extensive Stage SCLC", [True, False]),
        ("Birth Date", {"type": "Date", "value": "2026-02-31"}),
        ("Birth Date", "1958-02-03"),
        ("Birth Date", True),
        ("Platinum Agent", 7),
        ("Platinum Agent", {"type": "Code", "code": "x"}),
    ],
)
async def test_a_value_of_another_type_is_no_answer_but_a_problem(
    registry: Registry, define: str, value: Any
) -> None:
    populated = await filled(registry, {define: value})
    assert values(populated) == {}
    assert len(populated.problems) == 1
    assert "1958" not in populated.problems[0]


@pytest.mark.parametrize(
    ("kind", "repeats", "value", "wanted"),
    [
        ("integer", False, 3, 3),
        ("integer", False, True, None),
        ("integer", False, 2.5, None),
        ("date", False, {"type": "DateTime", "value": "2026-05-01T10:00:00Z"}, "2026-05-01"),
        ("dateTime", False, {"type": "DateTime", "value": "2026-05-01T10:00:00Z"}, "2026-05-01T10:00:00Z"),
        (
            "choice",
            False,
            {"type": "Code", "code": "a", "system": "s:1", "version": None},
            {"code": "a", "system": "s:1"},
        ),
        ("choice", False, {"type": "Concept", "codes": [{"type": "Code", "code": "a"}]}, {"code": "a"}),
        ("text", False, "  ", None),
        ("attachment", False, "x", None),
    ],
)
async def test_other_types_of_question(registry: Registry, kind: str, repeats: bool, value: Any, wanted: Any) -> None:
    populated = await filled(registry, {"Birth Date": value}, form=_form(kind, repeats))
    assert values(populated) == ({} if wanted is None else {"q": wanted})


async def test_a_repeating_question_takes_every_value(registry: Registry) -> None:
    populated = await filled(registry, {"Birth Date": ["a", None, "b"]}, form=_form("string", repeats=True))
    assert [answer["valueString"] for answer in populated.items[0]["answer"]] == ["a", "b"]


@pytest.mark.parametrize(
    "expression",
    [
        {"language": "text/cql", "expression": "AgeInYears() > 18"},
        {"language": "text/cql", "expression": '"Elsewhere"."Birth Date"'},
        {"language": "text/fhirpath", "expression": '"ImdelltraPrepopulation"."Birth Date"'},
    ],
)
async def test_an_expression_that_is_not_evaluated_here_is_a_problem(registry: Registry, expression: Json) -> None:
    form = _form("date", repeats=False)
    form["item"][0]["extension"][0]["valueExpression"] = expression
    populated = await filled(registry, COMPLETE, form=form)
    assert values(populated) == {}
    assert len(populated.problems) == 1


async def test_questions_under_a_question_stand_under_its_answer(registry: Registry) -> None:
    form = _form("date", repeats=False)
    form["item"][0]["item"] = [{**form["item"][0], "linkId": "inner"}]
    populated = await filled(registry, COMPLETE, form=form)
    assert populated.items[0]["answer"][0]["item"][0]["linkId"] == "inner"
    unanswered = await filled(registry, {}, form=form)
    assert "item" not in unanswered.items[0]


async def test_an_answer_under_an_unanswered_question_has_no_place(registry: Registry) -> None:
    form = _form("date", repeats=False)
    inner = _form("boolean", repeats=False)["item"][0] | {"linkId": "inner"}
    inner["extension"][0]["valueExpression"]["expression"] = 'ImdelltraPrepopulation."Extensive Stage SCLC"'
    form["item"][0]["item"] = [inner]
    populated = await filled(registry, {"Extensive Stage SCLC": True}, form=form)
    assert values(populated) == {}
    assert populated.answers == {}


@pytest.mark.parametrize("error", [EngineFailed("The CQL library failed."), DeadlinePassed("Too slow.")])
async def test_failing_logic_leaves_the_form_unfilled_and_says_so(registry: Registry, error: ServiceError) -> None:
    loaded = registry.all()[0]
    logic = ChartLogic(EvaluatorDouble(COMPLETE, fails=error), prepare)
    populated = await populate(loaded, loaded.questionnaires[INITIAL], CHART, logic=logic, origin="auto", now=NOW)
    assert populated.problems == (UNREADABLE,)
    assert populated.items == unfilled(loaded.questionnaires[INITIAL]).items


async def test_without_the_patient_nothing_is_evaluated(registry: Registry) -> None:
    for chart in (None, Chart((), "p1"), Chart((patient(),), "p2")):
        assert values(await filled(registry, COMPLETE, chart)) == {}


async def test_two_patients_of_one_id_fill_nothing(registry: Registry) -> None:
    chart = Chart((patient(), patient(birthDate="1960-01-01")), "p1")
    populated = await filled(registry, COMPLETE, chart)
    assert values(populated) == {}
    assert len(populated.problems) == 1


def _form(kind: str, repeats: bool) -> Json:
    expression = {"language": "text/cql", "expression": 'ImdelltraPrepopulation."Birth Date"'}
    return {
        "resourceType": "Questionnaire",
        "url": "https://payer.example.org/fhir/Questionnaire/other",
        "item": [
            {
                "linkId": "q",
                "text": "Question",
                "type": kind,
                "repeats": repeats,
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-initialExpression",
                        "valueExpression": expression,
                    }
                ],
            }
        ],
    }


# --- In the package


@pytest.mark.requirement("oper-19")
@pytest.mark.parametrize(("version", "origin"), [("2.0.1", "auto"), ("2.2.0", "auto-server")])
async def test_the_package_prefills_from_what_was_sent(service: Service, version: Version, origin: str) -> None:
    service.evaluator = EvaluatorDouble(COMPLETE)
    body = request_for(resource("order", order()), resource("referenced", patient()))
    response = draft((await service.package(version, body)).json())
    assert answers(response)["birth-date"] == "1958-02-03"
    origins = {a["extension"][0]["extension"][0]["valueCode"] for i in walk(response) for a in i.get("answer", ())}
    assert origins == {origin}


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_package_takes_the_patient_that_an_order_contains(service: Service, version: Version) -> None:
    service.evaluator = EvaluatorDouble(COMPLETE)
    body = request_for(resource("order", order(contained=[patient()])))
    assert answers(draft((await service.package(version, body)).json()))["birth-date"] == "1958-02-03"


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_patients_records_fill_nothing(service: Service, version: Version, engine: V8Engine) -> None:
    service.evaluator = engine
    body = request_for(resource("order", order()), resource("referenced", patient(id="p2")))
    assert answers(draft((await service.package(version, body)).json())) == {}


async def test_foreign_records_beside_the_patients_are_left_out_and_reported(
    service: Service, engine: V8Engine
) -> None:
    service.evaluator = engine
    extensive = {
        "resourceType": "Condition",
        "id": "c",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "683991000119103"}]},
    }
    mine, foreign = ({**extensive, "subject": {"reference": f"Patient/{who}"}} for who in ("p1", "p2"))
    for condition, wanted in ((mine, True), (foreign, None)):
        body = request_for(*(resource("referenced", r) for r in (patient(), condition)), resource("order", order()))
        answer = (await service.package("2.2.0", body)).json()
        validate(answer)
        found = answers(draft(answer))
        assert found["birth-date"] == "1958-02-03"
        assert found.get("es-sclc") is wanted
        assert len(issues(answer)) == (0 if wanted else 1)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_failing_engine_gives_the_package_with_a_warning(service: Service, version: Version) -> None:
    service.evaluator = EvaluatorDouble(fails=EngineFailed("The CQL library failed."))
    body = request_for(resource("order", order()), resource("referenced", patient()))
    answer = (await service.package(version, body)).json()
    assert answers(draft(answer)) == {}
    assert [i["severity"] for i in issues(answer)] == ["warning"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=st.fixed_dictionaries(
        {},
        optional={
            name: st.sampled_from([True, False, None, "x", 3, {"type": "Date", "value": "2026-05"}, ["x"]])
            for name in COMPLETE
        },
    )
)
async def test_property_only_the_forms_questions_in_the_forms_nesting(
    registry: Registry, found: dict[str, Any]
) -> None:
    populated = await filled(registry, found)

    def nested(items: Any, around: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        places = set()
        for item in items:
            place = (*around, item["linkId"])
            places |= {place} | nested(item.get("item", ()), place)
        return places

    form = registry.all()[0].questionnaires[INITIAL]
    assert nested(populated.items) <= nested(form["item"])
    assert populated.answers.keys() == values(populated).keys()
    assert all(question in populated.answers or question not in values(populated) for question in ATTESTED)
    validate(
        {
            "resourceType": "QuestionnaireResponse",
            "status": "in-progress",
            "questionnaire": INITIAL,
            "item": list(populated.items),
        }
    )
