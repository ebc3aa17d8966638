"""CRDMetricData of every call of a hook."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.crd.routes import METRIC_DATA
from service.fhir.canonical import HCPCS
from tests.unit.crd.conftest import Endpoint
from tests.unit.crd.world import INITIAL_FORM, medication_request, request, said

Opened = Callable[..., Endpoint]
TIME = "2026-12-01T15:30:00+00:00"


def measured(endpoint: Endpoint) -> list[Any]:
    return [json.loads(e.response) for e in endpoint.store.exchanges if e.kind == METRIC_DATA]


@pytest.mark.requirement("metric-1")
async def test_an_answer_is_measured_order_by_order(endpoint: Endpoint) -> None:
    aspirin = medication_request(id="mr2", medicationCodeableConcept={"text": "Aspirin"})
    told = said(await endpoint.call(request(medication_request(), aspirin, version="2.2")))
    (metric,) = measured(endpoint)
    first, second = metric.pop("request")
    assert metric == {
        "source": "payer-src",
        "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "hookType": "order-sign",
        "providerId": {"value": "Practitioner/d1"},
        "groupId": {"value": "ehr-1"},
        "payerId": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"},
        "requestTime": TIME,
        "responseTime": TIME,
        "httpResponse": 200,
        "tokenUse": "not-used",
        "resources": [
            {"type": "Coverage", "count": 1, "prefetch": True},
            {"type": "Organization", "count": 1, "prefetch": True},
            {"type": "Patient", "count": 1, "prefetch": True},
        ],
    }
    assert first == {
        "type": "MedicationRequest",
        "orderDetail": {"coding": [{"system": HCPCS, "code": "J0000"}]},
        "response": [
            {
                "type": "coverage-info",
                "coverageInfo": [
                    {
                        "covered": "covered",
                        "paNeeded": "auth-needed",
                        "docNeeded": "clinical",
                        "questionnaire": [
                            {"reference": f"{INITIAL_FORM}|1.0.0", "adaptive": False, "response": False}
                        ],
                        "assertionId": told["coverage-assertion-id"][0],
                    }
                ],
            }
        ],
    }
    assert second["orderDetail"] == {"text": "no code"}
    assert second["response"][0]["coverageInfo"][0]["infoNeeded"] == "OTH"


async def test_a_refused_call_is_measured_with_its_issues(endpoint: Endpoint) -> None:
    await endpoint.refused(request(prefetch={}), 412)
    await endpoint.refused([], 400, "order-sign-crd")
    missing, broken = measured(endpoint)
    assert (missing["httpResponse"], missing["hookInstance"]) == (412, request()["hookInstance"])
    assert (broken["httpResponse"], "hookInstance" in broken, "request" in broken) == (400, False, False)
    assert all(issue["code"] for metric in (missing, broken) for issue in metric["issue"])


async def test_no_patient_is_in_it(endpoint: Endpoint) -> None:
    await endpoint.call(request())
    (metric,) = measured(endpoint)
    assert not any(text in json.dumps(metric) for text in ("p1", "Garbo", "1958", "M-1"))


@pytest.mark.parametrize("path", ["", "/none", "/order-sign-crd/feedback"])
async def test_what_is_no_hook_is_not_measured(endpoint: Endpoint, path: str) -> None:
    method = "POST" if path else "GET"
    await endpoint.http.request(method, f"/cds-services{path}", json={"feedback": []} if path else None)
    assert len(endpoint.store.exchanges) == 1
    assert measured(endpoint) == []
