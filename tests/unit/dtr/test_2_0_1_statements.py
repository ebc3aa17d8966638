"""What DTR 2.0.1 asks otherwise than the newest version (conformance/statements/dtr-2.0.1.toml), through HTTP."""

from __future__ import annotations

from typing import Final

import pytest

from service.dtr.versions import Version
from tests.unit.dtr.samples import (
    INITIAL,
    RENEWAL,
    EvaluatorDouble,
    Json,
    Service,
    answer_to,
    by_canonical,
    by_order,
    coverage,
    draft,
    form_urls,
    held,
    order,
    packages,
    patient,
    request_for,
    resource,
    walk,
)
from tests.unit.dtr.test_adaptive import ADAPTIVE, ALL, after, answered, call, contained, opened

OLD: Final[Version] = "2.0.1"
ORIGIN: Final = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/information-origin"


def named(answer: Json) -> list[str]:
    return [parameter["name"] for parameter in answer["parameter"]]


def extensions(element: Json, name: str) -> list[Json]:
    return [one for one in element.get("extension", ()) if one["url"].rpartition("/")[2] == name]


@pytest.mark.requirement("DTR 2.0.1 package-bare-bundle", "DTR 2.0.1 package-form-first")
async def test_one_package_without_remarks_is_the_bundle_and_begins_with_its_form(service: Service) -> None:
    answer = await answer_to(service, OLD, by_order())
    assert answer["resourceType"] == "Bundle"
    assert answer["entry"][0]["resource"]["resourceType"] == "Questionnaire"


@pytest.mark.requirement("DTR 2.0.1 package-parameters", "DTR 2.0.1 package-form-first")
async def test_several_packages_are_parameters(service: Service) -> None:
    answer = await answer_to(service, OLD, by_canonical(INITIAL, RENEWAL))
    assert named(answer) == ["PackageBundle", "PackageBundle"]
    for package in packages(answer):
        assert package["entry"][0]["resource"]["resourceType"] == "Questionnaire"


@pytest.mark.requirement("DTR 2.0.1 package-remarks")
async def test_remarks_are_the_parameter_operation_outcome(service: Service) -> None:
    answer = await answer_to(service, OLD, by_canonical(INITIAL, "https://payer.example.org/Questionnaire/unknown"))
    assert named(answer) == ["PackageBundle", "operationOutcome"]


@pytest.mark.requirement("DTR 2.0.1 package-nothing-changed", "DTR 2.0.1 package-changed-since-date-time")
@pytest.mark.parametrize("since", [{"valueInstant": "2026-11-01T00:00:00Z"}, {"valueDateTime": "2026-11"}])
async def test_nothing_changed_is_an_answer_without_package(service: Service, since: Json) -> None:
    body = request_for(resource("order", order()), {"name": "changedsince", **since})
    assert named(await answer_to(service, OLD, body)) == ["operationOutcome"]


@pytest.mark.requirement("DTR 2.0.1 package-value-sets-expanded")
async def test_every_value_set_of_a_package_is_expanded(service: Service) -> None:
    sets = held(packages(await answer_to(service, OLD, by_order()))[0], "ValueSet")
    assert len(sets) > 1
    assert all(one["expansion"]["contains"] for one in sets)


@pytest.mark.requirement("DTR 2.0.1 response-context-order-and-coverage", "DTR 2.0.1 intended-use-temp")
async def test_a_draft_names_order_coverage_and_use_as_the_older_guide_has_them(service: Service) -> None:
    response = draft(await answer_to(service, OLD, by_order()))
    contexts = [one["valueReference"]["reference"] for one in extensions(response, "qr-context")]
    assert sorted(contexts) == ["Coverage/cov1", "MedicationRequest/mr1"]
    assert extensions(response, "qr-coverage") == []
    [use] = extensions(response, "intendedUse")
    [coding] = use["valueCodeableConcept"]["coding"]
    assert coding["system"] == "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"
    assert coding["code"] == "withpa"


@pytest.mark.requirement("DTR 2.0.1 origin-auto")
async def test_what_the_payer_filled_in_is_auto(service: Service) -> None:
    service.evaluator = EvaluatorDouble({"Birth Date": {"type": "Date", "value": "1958-02-03"}})
    body = request_for(resource("order", order()), resource("referenced", patient()))
    given = [answer for item in walk(draft(await answer_to(service, OLD, body))) for answer in item.get("answer", ())]
    assert given
    for answer in given:
        [origin] = [one for one in answer["extension"] if one["url"] == ORIGIN]
        assert origin["extension"] == [{"url": "source", "valueCode": "auto"}]


@pytest.mark.requirement("DTR 2.0.1 form-text")
@pytest.mark.parametrize("canonical", [INITIAL, RENEWAL, ADAPTIVE])
async def test_every_form_has_a_narrative(service: Service, canonical: str) -> None:
    [form] = held(packages(await answer_to(service, OLD, by_canonical(canonical)))[0], "Questionnaire")
    assert form["text"]["div"].startswith("<div")


@pytest.mark.requirement(
    "DTR 2.0.1 adaptive-contained-without-url",
    "DTR 2.0.1 adaptive-contained-derived-from",
    "DTR 2.0.1 adaptive-contained-no-enable-when",
    "DTR 2.0.1 form-text",
)
async def test_the_form_inside_an_adaptive_response(service: Service) -> None:
    response = await opened(service, OLD)
    for _ in range(3):
        form = contained(response)
        assert "url" not in form
        assert form["title"]
        assert form["text"]["div"]
        assert form["derivedFrom"] == [f"{ADAPTIVE}|1.0.0"]
        assert not any("enableWhen" in item for item in walk(form))
        response = await after(service, OLD, answered(response, ALL) if form.get("item") else response)


@pytest.mark.requirement("DTR 2.0.1 next-question-bare-response")
async def test_the_next_question_comes_in_the_response_itself(service: Service) -> None:
    assert (await after(service, OLD, await opened(service, OLD)))["resourceType"] == "QuestionnaireResponse"


@pytest.mark.requirement("DTR 2.0.1 next-question-invalid")
async def test_an_invalid_response_is_400(service: Service) -> None:
    response = await after(service, OLD, await opened(service, OLD))
    wrong = await call(service, OLD, answered(response, ALL | {"es-sclc": {"valueString": "no truth"}}))
    assert (wrong.status_code, wrong.json()["resourceType"]) == (400, "OperationOutcome")


@pytest.mark.requirement("DTR 2.0.1 log-errors-every-spelling")
@pytest.mark.parametrize(
    ("form", "result"), [("questionnaire", "operationOutcome"), ("Questionnaire", "OperationOutcome")]
)
async def test_a_report_of_errors_is_taken_in_either_spelling(service: Service, form: str, result: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found"}]}
    parameters = [{"name": form, "valueCanonical": INITIAL}, resource(result, outcome)]
    body = {"resourceType": "Parameters", "parameter": parameters}
    path = "/Questionnaire/$log-questionnaire-errors"
    assert (await service.call(OLD, "POST", path, json=body)).status_code == 204
    [kept] = await service.form_errors.form_errors()
    assert kept.report["issueCount"] == 1


@pytest.mark.requirement("DTR 2.0.1 coverage-several")
async def test_two_coverages_are_no_error(service: Service) -> None:
    other = coverage(id="cov2")
    body = request_for(resource("coverage", other), resource("order", order()))
    assert form_urls(await answer_to(service, OLD, body)) == [INITIAL]
