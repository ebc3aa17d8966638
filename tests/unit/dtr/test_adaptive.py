"""The adaptive form: made from the standard one, asked page by page, and nothing that was sent is believed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from service.dtr.versions import SHAPES, Version
from service.fhir import canonical as c
from service.settings import Settings
from tests.unit.dtr.profiles import Profiles, load
from tests.unit.dtr.samples import (
    INITIAL,
    RENEWAL,
    VERSIONS,
    EvaluatorDouble,
    Json,
    Service,
    answer_to,
    answers,
    by_canonical,
    by_order,
    draft,
    form_urls,
    held,
    issues,
    order,
    packages,
    patient,
    request_for,
    resource,
    validate,
    walk,
)

ADAPTIVE = f"{INITIAL}-adaptive"
each_version = pytest.mark.parametrize("version", VERSIONS)
ALL: dict[str, Json] = {
    "birth-date": {"valueDate": "1958-02-03"},
    "es-sclc": {"valueBoolean": False},
    "progression-on-platinum": {"valueBoolean": True},
    "platinum-agent": {"valueString": "Carboplatin"},
    "step-up-dosing": {"valueBoolean": False},
    "neurotoxicity-monitoring": {"valueBoolean": True},
    "female-of-reproductive-potential": {"valueBoolean": True},
    "contraception-counseling": {"valueBoolean": False},
}


@pytest.fixture(scope="module")
def profiles() -> dict[Version, Profiles]:
    return {version: load("sdc-4.0.0", f"dtr-{version}") for version in VERSIONS}


async def opened(service: Service, version: Version, canonical: str = ADAPTIVE) -> Json:
    return draft(await answer_to(service, version, by_canonical(canonical)))


async def call(service: Service, version: Version, body: Json) -> httpx.Response:
    return await service.call(version, "POST", "/Questionnaire/$next-question", json=body)


async def after(service: Service, version: Version, response: Json) -> Json:
    answer = await call(service, version, response)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    validate(found)
    return found


def contained(response: Json) -> Json:
    [found] = [r for r in response["contained"] if r["resourceType"] == "Questionnaire"]
    assert response["questionnaire"] == f"#{found['id']}"
    return dict(found)


def asked(response: Json) -> list[str]:
    return [i["linkId"] for i in walk(contained(response)) if i["type"] not in ("group", "display")]


def answered(response: Json, given: dict[str, Json]) -> Json:
    """The response with answers to those questions of its contained form that are enabled."""
    return {**response, "item": _answers(contained(response), given)}


def _answers(holder: Json, given: dict[str, Json]) -> list[Json]:
    items = []
    for item in holder["item"]:
        if item["type"] == "group":
            items.append({"linkId": item["linkId"], "item": _answers(item, given)})
        elif item["linkId"] in given and item["type"] != "display" and _enabled(item, given):
            items.append({"linkId": item["linkId"], "answer": [given[item["linkId"]]]})
    return [item for item in items if item.get("item") != []]


def _enabled(item: Json, given: dict[str, Json]) -> bool:
    return all(
        given.get(w["question"], {}).get("valueBoolean") is w["answerBoolean"] for w in item.get("enableWhen", ())
    )


async def completed(service: Service, version: Version, given: dict[str, Json]) -> list[Json]:
    """Every response of a whole run, answering all that is asked."""
    seen = [await after(service, version, await opened(service, version))]
    while seen[-1]["status"] == "in-progress":
        seen.append(await after(service, version, answered(seen[-1], given)))
        assert len(seen) < 12, "the form does not end"
    return seen


@pytest.mark.requirement("spec-23")
@pytest.mark.requirement("spec-24")
@pytest.mark.requirement("spec-25")
@each_version
async def test_the_package_has_the_adaptive_form_and_an_open_response(
    profiles: dict[Version, Profiles], service: Service, version: Version
) -> None:
    answer = await answer_to(service, version, by_canonical(ADAPTIVE))
    [package] = packages(answer)
    [form] = held(package, "Questionnaire")
    assert form["url"] == ADAPTIVE
    assert form["meta"]["profile"] == [c.DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE]
    [base] = [e["valueUrl"] for e in form["extension"] if e["url"] == c.SDC_ADAPTIVE]
    assert base == Settings().base_url + SHAPES[version].base_path
    assert [i["linkId"] for i in walk(form)] == (
        ["diagnosis", "birth-date", "birth-date-help"] if version == "2.0.1" else []
    )
    assert profiles[version].faults(form, c.DTR_ADAPTIVE_SEARCH_QUESTIONNAIRE) == []
    response = draft(answer)
    assert contained(response)["derivedFrom"] == [f"{ADAPTIVE}|1.0.0"]
    assert profiles[version].faults(contained(response), c.DTR_ADAPTIVE_QUESTIONNAIRE) == []
    assert profiles[version].faults(response, response["meta"]["profile"][0]) == []
    assert {r["name"] for r in held(package, "Library")} == {"ImdelltraPrepopulation"}
    for entry in package["entry"]:
        validate(entry["resource"])


async def test_the_first_question_of_the_older_package_is_filled_from_the_chart(service: Service) -> None:
    service.evaluator = EvaluatorDouble({"Birth Date": {"type": "Date", "value": "1958-02-03"}})
    body = request_for(
        {"name": "questionnaire", "valueCanonical": ADAPTIVE},
        resource("order", order(medicationCodeableConcept={"text": "something else"})),
        resource("referenced", patient()),
    )
    assert answers(draft((await service.package("2.0.1", body)).json())) == {"birth-date": "1958-02-03"}


@pytest.mark.requirement("spec-36")
@each_version
async def test_every_question_is_asked_a_few_at_a_time_in_the_policys_order(
    profiles: dict[Version, Profiles], service: Service, version: Version
) -> None:
    """Each answer here is unmet, or leads to more questions: none of them ends the form."""
    seen = await completed(service, version, ALL)
    steps = [asked(response) for response in seen]
    first, second, third = ["birth-date", "es-sclc"], ["platinum-agent", "platinum-start"], ["step-up-dosing"]
    assert steps[0] == first
    assert steps[1][:2] == first
    assert steps[1][2:4] == second
    expected = {
        "2.0.1": [2, 5, 6, 9, 10, 10],
        "2.2.0": [2, 6, 10, 10],
    }
    assert [len(step) for step in steps] == expected[version]
    assert third[0] in steps[-1]
    assert set(steps[-1]) == {*ALL, "platinum-start", "progression-date"}
    assert [r["status"] for r in seen] == ["in-progress"] * (len(seen) - 1) + ["completed"]
    for response in seen:
        assert profiles[version].faults(contained(response), c.DTR_ADAPTIVE_QUESTIONNAIRE) == []
    assert {k: next(iter(v.values())) for k, v in ALL.items()} == answers(seen[-1])


@pytest.mark.requirement("spec-39")
@each_version
async def test_the_end_of_the_clinical_questions_is_said_with_the_last_of_them(
    service: Service, version: Version
) -> None:
    seen = await completed(service, version, ALL)
    ends = ["clinical-questions-complete" in {i["linkId"] for i in walk(contained(r))} for r in seen]
    last = next(n for n, response in enumerate(seen) if "neurotoxicity-monitoring" in asked(response))
    assert ends == [False] * last + [True] * (len(seen) - last)


@pytest.mark.requirement("spec-17")
@each_version
async def test_a_question_that_is_not_enabled_is_not_needed_for_completion(
    service: Service, version: Version
) -> None:
    given = ALL | {
        "progression-on-platinum": {"valueBoolean": False},
        "female-of-reproductive-potential": {"valueBoolean": False},
    }
    last = (await completed(service, version, given))[-1]
    assert last["status"] == "completed"
    assert "contraception-counseling" not in answers(last)
    if version == "2.0.1":
        assert not {"contraception-counseling", "progression-date"} & set(asked(last))
        assert not any("enableWhen" in item for item in walk(contained(last)))


@each_version
async def test_the_same_request_has_the_same_answer(service: Service, version: Version) -> None:
    step = answered(await after(service, version, await opened(service, version)), ALL)
    assert await after(service, version, step) == await after(service, version, step)


@each_version
async def test_parameters_and_the_bare_response_are_one(service: Service, version: Version) -> None:
    response = await opened(service, version)
    bare = await after(service, version, response)
    assert bare["resourceType"] == "QuestionnaireResponse"
    for name in ("questionnaire-response", "in"):
        body = {"resourceType": "Parameters", "parameter": [resource(name, response)]}
        assert await after(service, version, body) == bare


@each_version
async def test_the_contained_form_is_made_anew(service: Service, version: Version) -> None:
    """Questions that the client made up, reworded, or made optional are gone."""
    response = answered(await after(service, version, await opened(service, version)), ALL)
    genuine = contained(await after(service, version, response))
    forged = {
        **genuine,
        "title": "Forged",
        "item": [
            {"linkId": "birth-date", "type": "string", "text": "forged"},
            {"linkId": "es-sclc", "type": "display", "text": "forged"},
            {"linkId": "invented", "type": "boolean", "text": "forged", "required": True},
        ],
    }
    assert contained(await after(service, version, {**response, "contained": [forged]})) == genuine


@each_version
async def test_a_wrong_answer_is_400_with_its_link_id_and_place(service: Service, version: Version) -> None:
    response = await after(service, version, await opened(service, version))
    wrong = answered(response, ALL | {"es-sclc": {"valueString": "secret words"}})
    answer = await call(service, version, wrong)
    assert answer.status_code == 400
    [issue] = answer.json()["issue"]
    assert "(es-sclc)" in issue["diagnostics"]
    assert issue["expression"] == ["QuestionnaireResponse.item[0].item[1].answer[0]"]
    assert "secret" not in answer.text


@pytest.mark.requirement("spec-147")
@each_version
async def test_saying_that_everything_was_asked_does_not_complete_it(service: Service, version: Version) -> None:
    response = (await completed(service, version, ALL))[-1]
    answer = await call(service, version, {k: v for k, v in response.items() if k != "item"})
    assert answer.status_code == 400
    assert {i["code"] for i in answer.json()["issue"]} == {"required"}


@pytest.mark.requirement("spec-147")
@each_version
async def test_a_required_question_that_was_asked_must_be_answered(service: Service, version: Version) -> None:
    response = await after(service, version, await opened(service, version))
    answer = await call(service, version, answered(response, {"birth-date": ALL["birth-date"]}))
    assert answer.status_code == 400
    assert [(i["code"], "(es-sclc)" in i["diagnostics"]) for i in answer.json()["issue"]] == [("required", True)]


@each_version
async def test_an_unknown_item_is_400_without_its_name(service: Service, version: Version) -> None:
    response = await opened(service, version)
    answer = await call(service, version, {**response, "item": [{"linkId": "secret-7"}]})
    assert answer.status_code == 400
    assert "secret-7" not in answer.text
    assert answer.json()["issue"][0]["expression"] == ["QuestionnaireResponse.item[0]"]


@each_version
async def test_an_answer_that_another_one_disables_is_left_out(service: Service, version: Version) -> None:
    seen = await completed(service, version, ALL)
    changed = {**seen[-1], "item": _changed(seen[-1]["item"])}
    last = await after(service, version, changed)
    assert last["status"] == "completed"
    assert "contraception-counseling" not in answers(last)
    assert answers(last)["female-of-reproductive-potential"] is False


def _changed(items: list[Json]) -> list[Json]:
    found = []
    for item in items:
        if item["linkId"] == "female-of-reproductive-potential":
            found.append({**item, "answer": [{"valueBoolean": False}]})
        else:
            found.append({**item, **({"item": _changed(item["item"])} if "item" in item else {})})
    return found


@each_version
@pytest.mark.parametrize(
    "change",
    [
        {"questionnaire": f"{INITIAL}|1.0.0"},
        {"questionnaire": "#other"},
        {"contained": [{"resourceType": "Questionnaire", "id": "imdelltra-initial-adaptive", "status": "active"}]},
        {
            "contained": [
                {
                    "resourceType": "Questionnaire",
                    "id": "imdelltra-initial-adaptive",
                    "status": "active",
                    "derivedFrom": [canonical],
                }
                for canonical in ("https://secret.example.org/Questionnaire/x",)
            ]
        },
        {
            "contained": [
                {
                    "resourceType": "Questionnaire",
                    "id": "imdelltra-initial-adaptive",
                    "status": "active",
                    "derivedFrom": [f"{ADAPTIVE}|9"],
                }
            ]
        },
    ],
)
async def test_a_response_to_no_adaptive_form_of_ours_is_400(
    service: Service, version: Version, change: dict[str, Any]
) -> None:
    answer = await call(service, version, await opened(service, version) | change)
    assert answer.status_code == 400
    assert "secret" not in answer.text


@each_version
@pytest.mark.parametrize("parameter", [[], [resource("questionnaire-response", patient())]])
async def test_parameters_without_a_response_are_400(
    service: Service, version: Version, parameter: list[Json]
) -> None:
    body = {"resourceType": "Parameters", "parameter": [*parameter, {"name": "x", "valueString": "y"}]}
    assert (await call(service, version, body)).status_code == 400


@each_version
async def test_what_else_is_contained_stays(service: Service, version: Version) -> None:
    response = await opened(service, version)
    response["contained"].append({"resourceType": "Organization", "id": "o", "name": "A clinic"})
    found = await after(service, version, response)
    assert [r["id"] for r in found["contained"]] == ["imdelltra-initial-adaptive", "o"]


@each_version
async def test_orders_get_adaptive_forms_by_the_setting(service: Service, version: Version) -> None:
    assert form_urls(await answer_to(service, version, by_order())) == [INITIAL]
    service.settings = Settings(adaptive_forms=True)
    assert form_urls(await answer_to(service, version, by_order())) == [ADAPTIVE]


@each_version
async def test_the_renewal_form_is_adaptive_too_and_both_forms_may_be_asked_for(
    service: Service, version: Version
) -> None:
    answer = await answer_to(service, version, by_canonical(INITIAL, f"{RENEWAL}-adaptive"))
    assert form_urls(answer) == [INITIAL, f"{RENEWAL}-adaptive"]
    assert issues(answer) == []


async def test_a_client_may_get_canonicals_without_versions(service: Service) -> None:
    service.settings = Settings(literal_canonical_clients=("ehr",))
    response = await opened(service, "2.2.0")
    assert contained(response)["derivedFrom"] == [ADAPTIVE]
    assert draft(await answer_to(service, "2.2.0", by_order()))["questionnaire"] == INITIAL
    service.settings = Settings(literal_canonical_clients=("another",))
    assert draft(await answer_to(service, "2.2.0", by_order()))["questionnaire"] == f"{INITIAL}|1.0.0"
