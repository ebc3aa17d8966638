"""One record of each call, as DTRMetricData has it, and nothing of what was sent."""

from __future__ import annotations

import json

import pytest

from service.dtr.versions import Version
from tests.unit.dtr import samples
from tests.unit.dtr.samples import (
    CLIENT,
    INITIAL,
    NOW,
    VERSIONS,
    Json,
    Service,
    by_canonical,
    by_order,
    coverage,
    draft,
    request_for,
    resource,
)
from tests.unit.dtr.samples import order as an_order

each_version = pytest.mark.parametrize("version", VERSIONS)


def records(service: Service) -> list[Json]:
    assert {(e.client, e.requested_at, e.request) for e in service.exchanges} == {(CLIENT, NOW, b"")}
    return [json.loads(exchange.response) for exchange in service.exchanges]


@each_version
async def test_a_package_is_recorded_with_its_forms(service: Service, version: Version) -> None:
    await service.package(version, by_canonical(INITIAL, f"{INITIAL}-adaptive"))
    [record] = records(service)
    assert record["source"] == "payer-src"
    assert record["payerId"]["value"] == "PAYER01"
    assert record["questionnaire"] == [
        {"reference": f"{INITIAL}|1.0.0", "adaptive": False},
        {"reference": f"{INITIAL}-adaptive|1.0.0", "adaptive": True},
    ]
    [action] = record["action"]
    assert action == {
        "actionDetail": "qpackage",
        "requestTime": NOW.isoformat(),
        "responseTime": NOW.isoformat(),
        "httpResponse": 200,
    }


@pytest.mark.requirement("sec-10")
@each_version
async def test_the_next_question_is_recorded_and_no_answer_is(service: Service, version: Version) -> None:
    opened = draft((await service.package(version, by_canonical(f"{INITIAL}-adaptive"))).json())
    group = {"linkId": "diagnosis", "item": [{"linkId": "birth-date", "answer": [{"valueDate": "1958-02-03"}]}]}
    body = {**opened, "item": [group], "subject": {"reference": "Patient/secret-7"}}
    answer = await service.call(version, "POST", "/Questionnaire/$next-question", json=body)
    assert answer.status_code == 200
    record = records(service)[-1]
    assert record["action"][0]["actionDetail"] == "nextq"
    assert record["questionnaire"] == [{"reference": f"{INITIAL}-adaptive|1.0.0", "adaptive": True}]
    assert "1958" not in json.dumps(record)
    assert "secret" not in json.dumps(record)


@pytest.mark.requirement("sec-9")
@each_version
async def test_what_comes_with_a_call_serves_its_answer_and_is_kept_nowhere(
    service: Service, version: Version, stores: list[samples.StoreDouble]
) -> None:
    secret = samples.patient(id="secret-7", birthDate="1951-02-03")
    insured = coverage(beneficiary={"reference": "Patient/secret-7"})
    asked = resource("order", an_order(subject={"reference": "Patient/secret-7"}))
    response = await service.package(version, request_for(asked, resource("referenced", secret), cover=insured))
    assert draft(response.json())["subject"] == {"reference": "Patient/secret-7"}
    kept = "".join(str(vars(store)) for store in stores) + json.dumps(records(service))
    assert stores
    assert "1951" not in kept
    assert "secret" not in kept


@each_version
async def test_a_refused_call_is_recorded_with_its_codes(service: Service, version: Version) -> None:
    foreign = coverage(payor=[{"identifier": {"system": "https://payer.example.org/payer-id", "value": "OTHER"}}])
    response = await service.package(version, request_for(resource("order", an_order()), cover=foreign))
    assert response.status_code == 422
    [record] = records(service)
    assert record["action"][0]["httpResponse"] == 422
    assert record["action"][0]["issue"] == [{"code": "business-rule"}]
    assert "questionnaire" not in record


async def test_no_form_is_recorded_as_none(service: Service) -> None:
    await service.package("2.2.0", by_order(code="J0897"))
    [record] = records(service)
    assert "questionnaire" not in record
