"""How fast a decision is due, and that it is said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.policy.case import CaseId, Urgency
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import NOW, PAS, Payer, response_of

Json = dict[str, Any]
LEVEL = "https://codesystem.x12.org/005010/1338"
CERTIFICATION = "https://codesystem.x12.org/005010/1322"
PRIORITY = "http://terminology.hl7.org/CodeSystem/processpriority"


def level(code: str, system: str = LEVEL) -> Json:
    return {"extension": [{"url": PAS + "levelOfServiceCode", "valueCodeableConcept": b.coded(system, code)}]}


def appeal(code: str) -> Json:
    return {"extension": [{"url": PAS + "certificationType", "valueCodeableConcept": b.coded(CERTIFICATION, code)}]}


@pytest.mark.parametrize(
    ("said", "hours"),
    [
        ({}, 72),
        (level("U"), 24),
        (level("03"), 24),
        (level("E"), 72),
        (level("U", "urn:other"), 72),
        (appeal("1"), 24),
        (appeal("2"), 72),
        ({"priority": b.coded(PRIORITY, "stat")}, 24),
        ({"priority": b.coded(PRIORITY, "deferred")}, 72),
    ],
)
async def test_a_drug_is_due_in_72_hours_or_24_when_urgent(payer: Payer, said: Json, hours: int) -> None:
    unmet = b.response({**b.ANSWERS, "es-sclc": False})
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(**said), b.RESPONSE: unmet})))
    found = await payer.store.case(CaseId(response["id"]))
    assert found is not None
    case = found[0]
    assert case.due == NOW + timedelta(hours=hours)
    assert case.urgency == (Urgency.EXPEDITED if hours == 24 else Urgency.STANDARD)
    note = response["processNote"][-1]
    assert note["text"] == f"A decision is due by {case.due:%Y-%m-%dT%H:%M:%S}Z."
    assert note["number"] in response["item"][0]["noteNumber"]


@pytest.mark.parametrize(("said", "hours"), [({}, 168), (level("U"), 72)])
async def test_another_service_is_due_in_7_days_or_72_hours(payer: Payer, said: Json, hours: int) -> None:
    item = b.item(code="99212")
    item["extension"] = item["extension"][:3]
    await payer.submit(b.bundle({b.CLAIM: b.claim(item, **said)}))
    (case,) = await payer.cases()
    assert case.due == NOW + timedelta(hours=hours)


@pytest.mark.parametrize("kind", ["ndc", "order"])
async def test_a_drug_that_no_policy_covers_is_a_drug(payer: Payer, kind: str) -> None:
    item = b.item(code="00000000001", system="http://hl7.org/fhir/sid/ndc") if kind == "ndc" else b.item(code="99212")
    if kind == "ndc":
        item["extension"] = item["extension"][:3]
    await payer.submit(b.bundle({b.CLAIM: b.claim(item)}))
    (case,) = await payer.cases()
    assert case.due == NOW + timedelta(hours=72)


async def test_the_hours_are_settings_and_what_is_decided_says_no_deadline(payer: Payer) -> None:
    hours = payer.settings.model_copy(update={"due_hours_drug_standard": 5})
    payer.dependencies = replace(payer.dependencies, settings=hours)
    response = response_of(await payer.submit(b.bundle()))
    (case,) = await payer.cases()
    assert case.due == NOW + timedelta(hours=5)
    assert "processNote" not in response
