"""What may be sent to $questionnaire-package, and what is refused without a 5xx or an echo."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest

from service.dtr.versions import SHAPES, Version
from service.settings import Settings
from tests.unit.dtr.samples import (
    INITIAL,
    RENEWAL,
    VERSIONS,
    Service,
    answer_to,
    assertion,
    by_order,
    context,
    coverage,
    form_urls,
    issues,
    order,
    packages,
    patient,
    request_for,
    resource,
)
from tests.unit.fhir.mutations import SENTINEL, mutate_blindly

each_version = pytest.mark.parametrize("version", VERSIONS)


@pytest.mark.parametrize(
    ("since", "changed"),
    [
        ("2026-03-31T12:00:00Z", True),
        ("2026-04-01T12:00:00Z", True),
        ("2026-04-02T00:00:00Z", False),
        ("2026-11-30T00:00:00-05:00", False),
    ],
)
@each_version
async def test_changed_since(service: Service, version: Version, since: str, changed: bool) -> None:
    body = request_for(resource("order", order()), {"name": "changedsince", "valueInstant": since})
    answer = await answer_to(service, version, body)
    assert form_urls(answer) == ([INITIAL] if changed else [])
    if not changed:
        assert [p["name"] for p in answer["parameter"]] == [SHAPES[version].outcome_parameter]
        assert issues(answer)[0]["severity"] == "information"


async def test_changed_since_takes_a_date_time_too(service: Service) -> None:
    body = request_for(resource("order", order()), {"name": "changedsince", "valueDateTime": "2026-05"})
    assert packages(await answer_to(service, "2.0.1", body)) == []


@each_version
@pytest.mark.parametrize(
    ("parameters", "expression"),
    [
        ([], "Parameters.parameter"),
        ([resource("order", order())], "Parameters.parameter"),
        ([resource("coverage", coverage())], "Parameters.parameter"),
        ([resource("coverage", order()), resource("order", order())], "Parameters.parameter[0].resource"),
        ([{"name": "coverage", "valueString": "x"}], "Parameters.parameter[0]"),
        ([{"name": "questionnaire", "valueInteger": 3}], "Parameters.parameter[0]"),
        ([{"name": "context", "valueInteger": 3}], "Parameters.parameter[0]"),
        ([{"name": "changedsince", "valueString": "yesterday"}], "Parameters.parameter[0]"),
        ([{"name": "changedsince", "valueInstant": "2026-12-31T23:59:60Z"}], "Parameters.parameter[0]"),
        ([resource("coverage", coverage()), context("a"), context("b")], "Parameters.parameter"),
    ],
)
async def test_bad_parameters_are_400(
    service: Service, version: Version, parameters: list[Any], expression: str
) -> None:
    body = {"resourceType": "Parameters"} | ({"parameter": parameters} if parameters else {})
    response = await service.package(version, body)
    assert response.status_code == 400
    assert issues(response.json())[0]["expression"] == [expression]


async def test_request_without_any_reference_to_the_patient_is_400(service: Service) -> None:
    local = order(subject={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
    cover = coverage(beneficiary={"reference": "#p"}, contained=[{"resourceType": "Patient", "id": "p"}])
    response = await service.package("2.2.0", request_for(resource("order", local), cover=cover))
    assert response.status_code == 400


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"resourceType":"Patient"}', b'{"resourceType":"Parameters","secret-7":1}']
)
async def test_what_is_no_parameters_is_400_without_echo(service: Service, body: bytes) -> None:
    response = await service.call("2.2.0", "POST", "/Questionnaire/$questionnaire-package", content=body)
    assert response.status_code == 400
    assert response.json()["resourceType"] == "OperationOutcome"
    assert "secret-7" not in response.text


async def test_unknown_parameters_are_passed_over(service: Service) -> None:
    body = request_for(resource("order", order()), {"name": "futurething", "valueString": "x"})
    assert form_urls(await answer_to(service, "2.2.0", body)) == [INITIAL]


async def test_context_as_identifier(service: Service) -> None:
    service.assertions = (assertion(),)
    body = request_for({"name": "context", "valueIdentifier": {"value": "assertion-1"}})
    assert form_urls(await answer_to(service, "2.0.1", body)) == [INITIAL]


async def test_access_is_asked_for_the_scope(service: Service) -> None:
    await service.package("2.2.0", by_order())
    assert service.access.scopes == ["system/Questionnaire.rs"]


async def test_the_body_is_read_no_further_than_the_limit(service: Service) -> None:
    service.settings = Settings(max_body_bytes=200)
    assert (await service.package("2.2.0", by_order())).status_code == 413


async def test_a_broken_request_only_ever_gets_an_answer_or_a_4xx(service: Service) -> None:
    contained = [{"resourceType": "Medication", "id": "m", "code": {"text": "Imdelltra"}}]
    timing = {"repeat": {"boundsPeriod": {"start": "2026-12-04"}}, "event": ["2026-12-05"]}
    full = request_for(
        resource("order", order(contained=contained, dosageInstruction=[{"timing": timing}])),
        resource("referenced", patient()),
        {"name": "questionnaire", "valueCanonical": RENEWAL},
        {"name": "changedsince", "valueInstant": "2026-01-01T00:00:00Z"},
    )
    random = Random(7)
    seen = set()
    for _ in range(100):
        body = copy.deepcopy(full)
        for _ in range(random.randrange(1, 3)):
            mutate_blindly(body, random)
        response = await service.package(random.choice(VERSIONS), body)
        seen.add(response.status_code)
        assert response.status_code == 200 or 400 <= response.status_code < 500
        assert response.status_code == 200 or SENTINEL not in response.text
    assert seen >= {200, 400}
