"""$log-questionnaire-errors: what is kept tells our authors what failed, and nobody anything about a patient."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from service.dtr.log_errors import MOST_ISSUES
from service.dtr.versions import Version
from service.store.form_errors import MOST_PER_HOUR
from tests.unit.dtr.samples import CLIENT, INITIAL, NOW, VERSIONS, Json, Service

each_version = pytest.mark.parametrize("version", VERSIONS)
FORM = {"name": "questionnaire", "valueCanonical": f"{INITIAL}|1.0.0"}


def outcome(*issues: Json) -> Json:
    return {
        "resourceType": "OperationOutcome",
        "issue": list(issues or ({"severity": "error", "code": "not-found"},)),
    }


async def report(service: Service, version: Version, *parameters: Json) -> httpx.Response:
    body = {"resourceType": "Parameters", "parameter": list(parameters)}
    return await service.call(version, "POST", "/Questionnaire/$log-questionnaire-errors", json=body)


async def kept(service: Service) -> list[dict[str, Any]]:
    return [dict(each.report) for each in await service.form_errors.form_errors()]


@pytest.mark.requirement("oper-1")
@each_version
@pytest.mark.parametrize("form", ["questionnaire", "Questionnaire", "QUESTIONNAIRE"])
@pytest.mark.parametrize("result", ["operationOutcome", "OperationOutcome"])
async def test_every_spelling_of_the_parameters_is_taken(
    service: Service, version: Version, form: str, result: str
) -> None:
    response = await report(service, version, {**FORM, "name": form}, {"name": result, "resource": outcome()})
    assert (response.status_code, response.content) == (204, b"")
    [error] = await service.form_errors.form_errors()
    assert (error.client, error.at) == (CLIENT, NOW)
    assert error.report == {
        "questionnaires": [f"{INITIAL}|1.0.0"],
        "unknownQuestionnaires": 0,
        "issues": [{"severity": "error", "code": "not-found", "expression": [], "mentions": []}],
        "issueCount": 1,
    }


async def test_nothing_that_could_be_a_patients_is_kept(service: Service) -> None:
    secret = "Maria Secretova, born 1958-02-03, MRN 4711"
    issue = {
        "severity": "error",
        "code": "exception",
        "details": {"text": f"{secret} at Extensive Stage SCLC", "coding": [{"code": "secret-code"}]},
        "diagnostics": f"{secret}: progression-on-platinum failed",
        "expression": [
            "Questionnaire.item[0].item[1].extension[0]",
            f"Questionnaire.item.where(text='{secret}')",
            "Questionnaire.item[0].Secretova",
        ],
        "extension": [{"url": "https://secret.example.org", "valueString": secret}],
    }
    result = {**outcome(issue), "id": "secret-id", "text": {"status": "generated", "div": "<div>secret</div>"}}
    other = {"name": "questionnaire", "valueCanonical": "https://secret.example.org/Questionnaire/Secretova"}
    await report(service, "2.2.0", FORM, other, {"name": "operationOutcome", "resource": result})
    [found] = await kept(service)
    assert "secret" not in json.dumps(found).casefold()
    assert "4711" not in json.dumps(found)
    assert found["unknownQuestionnaires"] == 1
    assert found["issues"] == [
        {
            "severity": "error",
            "code": "exception",
            "expression": ["Questionnaire.item[0].item[1].extension[0]"],
            "mentions": ["Extensive Stage SCLC", "progression-on-platinum"],
        }
    ]


async def test_codes_that_fhir_does_not_have_are_not_kept(service: Service) -> None:
    issue = {"severity": "secret", "code": "smith"}
    await report(service, "2.2.0", FORM, {"name": "operationOutcome", "resource": outcome(issue)})
    [found] = await kept(service)
    assert (found["issues"][0]["severity"], found["issues"][0]["code"]) == ("unknown", "unknown")


async def test_a_report_is_bounded(service: Service) -> None:
    many = outcome(*({"severity": "error", "code": "value"},) * (MOST_ISSUES + 5))
    await report(service, "2.0.1", FORM, {"name": "operationOutcome", "resource": many})
    [found] = await kept(service)
    assert (len(found["issues"]), found["issueCount"]) == (MOST_ISSUES, MOST_ISSUES + 5)


async def test_more_reports_than_the_hour_takes_are_answered_and_not_kept(service: Service) -> None:
    for _ in range(MOST_PER_HOUR):
        await service.form_errors.save_form_error(CLIENT, {}, NOW)
    response = await report(service, "2.2.0", FORM, {"name": "operationOutcome", "resource": outcome()})
    assert response.status_code == 204
    assert len(await kept(service)) == MOST_PER_HOUR


@each_version
@pytest.mark.parametrize(
    "parameters",
    [
        [FORM],
        [FORM, {"name": "operationOutcome", "valueString": "x"}],
        [FORM, {"name": "operationOutcome", "resource": {"resourceType": "Patient", "id": "secret-7"}}],
    ],
)
async def test_without_an_outcome_it_is_400(service: Service, version: Version, parameters: list[Json]) -> None:
    response = await report(service, version, *parameters)
    assert response.status_code == 400
    assert "secret" not in response.text
    assert await kept(service) == []
