"""What is sent once more while the payer holds it: a change of the request on file, and never of somebody else's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from service.dtr.app.claim import request_bundle
from service.dtr.app.claim_parts import Numbers
from service.dtr.app.opening import Opened
from service.dtr.app.prior import Prior, Requests, as_update
from service.dtr.merging import answered
from service.fhir.json import encode
from service.pas.routes import SHAPES
from service.pas.submit import Submit
from service.policy.case import Case, ClientId
from service.policy.decision import Clinician, Outcome
from tests.unit.dtr.samples import validate
from tests.unit.dtr_app.clinic import NOW, Clinic
from tests.unit.pas.payer import NOW as THEN
from tests.unit.pas.payer import Payer, code_of, response_of

APP = ClientId("dtr-app")
OTHER = ClientId("another")
ADAPTIVE = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial-adaptive"
THREE = {"step-up-dosing": True, "neurotoxicity-monitoring": True, "female-of-reproductive-potential": False}


@pytest.fixture
def payer(clinic: Clinic) -> Payer:
    payer = Payer(clinic.rules.check, clinic.rules.registry, clinic.rules.engine)
    payer.clock.advance(NOW - THEN)
    return payer


def request(opened: Opened, number: int, answers: dict[str, bool] | None = None) -> dict[str, Any]:
    """The app's request with what the chart answers, and these answers besides."""
    claim, bundle, trace = (f"00000000-0000-4000-8000-{number:011d}{part}" for part in (1, 2, 3))
    numbers = Numbers(claim, bundle, trace, NOW)
    written = [{"linkId": name, "answer": [_manual(value)]} for name, value in (answers or {}).items()]
    groups = _filled(opened.questionnaire["item"], [*opened.items, *written])
    response = {**opened.skeleton, "id": "qr1", "status": "completed", "authored": NOW.isoformat(), "item": groups}
    return request_bundle(opened, response, numbers)


def _manual(value: bool) -> dict[str, Any]:
    return {"valueBoolean": value}


def _filled(asked: Sequence[Any], known: Sequence[Any]) -> list[dict[str, Any]]:
    """What is known of these items, in the form's nesting."""
    held = {item["linkId"]: item for item in _every(known)}
    filled = []
    for item in asked:
        if item["type"] == "group":
            filled.append({"linkId": item["linkId"], "item": _filled(item["item"], known)})
        elif item["linkId"] in held:
            filled.append(held[item["linkId"]])
    return filled


def _every(items: Sequence[Any]) -> list[Any]:
    return [each for item in items for each in (item, *_every(item.get("item", ())))]


async def on_file(payer: Payer, sent: dict[str, Any], client: ClientId = APP) -> Prior | None:
    requests = Requests(payer.store, payer.settings, APP)
    return await requests.on_file(sent["entry"][0]["fullUrl"], client)


async def newest(payer: Payer, sent: dict[str, Any]) -> Case:
    case = await payer.store.case_for_claim(APP, sent["entry"][0]["fullUrl"], ())
    assert case is not None
    return case


async def test_what_is_added_while_the_payer_holds_a_request_changes_that_request(
    clinic: Clinic, payer: Payer
) -> None:
    opened = await clinic.open()
    first = request(opened, 1)
    answer = response_of(await payer.submit(first, client=APP))
    assert code_of(answer["item"][0]) == "A4"
    before = await newest(payer, first)
    prior = await on_file(payer, first)
    assert prior is not None
    assert prior.waits
    second = as_update(request(opened, 2, THREE), prior)
    validate(second)
    reply = await Submit(payer.dependencies, SHAPES["2.2.1"])(encode(second), APP, strict=True)
    answer = response_of(json.loads(reply.body))
    assert code_of(answer["item"][0]) == "A1"
    after = await newest(payer, second)
    assert after.replaces == before.id
    assert after.lines[0].reference_number == before.lines[0].reference_number
    third = as_update(request(opened, 3, THREE), await on_file(payer, second))  # type: ignore[arg-type] # fails as well
    claims = [e["resource"] for e in third["entry"] if e["resource"]["resourceType"] == "Claim"]
    assert [("related" in claim) for claim in claims] == [True, False]
    assert len({e["fullUrl"] for e in third["entry"]}) == len(third["entry"])
    answer = response_of(await payer.submit(third, client=APP))
    assert code_of(answer["item"][0]) == "A1"
    number = (await newest(payer, third)).authorization_number
    assert number == after.authorization_number


async def test_another_clients_request_is_not_changed(clinic: Clinic, payer: Payer) -> None:
    first = request(await clinic.open(), 1)
    await payer.submit(first, client=OTHER)
    assert await on_file(payer, first) is None
    assert await on_file(payer, first, OTHER) is not None


async def test_what_is_closed_takes_no_change(clinic: Clinic, payer: Payer) -> None:
    first = request(await clinic.open(), 1)
    await payer.submit(first, client=APP)
    case = await newest(payer, first)
    (line,) = case.lines
    clinician = Clinician("Dr. R. Chen", "1234567893", "207RH0003X")
    decision = replace(line.determination.decision, outcome=Outcome.DENIED, by=clinician)
    denied = replace(line, determination=replace(line.determination, decision=decision))
    payer.store._cases[case.id] = replace(case, lines=(denied,))
    assert await on_file(payer, first) is None
    assert await on_file(payer, {"entry": [{"fullUrl": "https://ehr.example.org/fhir/Claim/unknown"}]}) is None


async def test_a_launch_names_a_request_by_its_number_for_whoever_sent_it(clinic: Clinic, payer: Payer) -> None:
    first = request(await clinic.open(), 1)
    await payer.submit(first, client=APP)
    case = await newest(payer, first)
    requests = Requests(payer.store, payer.settings, APP)
    number = case.asked[0].control_number
    assert await requests.held(number, APP) == first["entry"][0]["fullUrl"]
    assert await requests.held(number, OTHER) is None
    assert await requests.held(None, APP) is None
    assert requests.sender(OTHER) == APP
    assert replace(requests, account=None).sender(OTHER) == OTHER


async def test_an_adaptive_form_starts_from_the_answers_that_we_hold(clinic: Clinic, payer: Payer) -> None:
    opened = await clinic.open()
    first = request(opened, 1, {"step-up-dosing": True})
    await payer.submit(first, client=APP)
    clinic.payer, clinic.client = payer.store, APP
    number = (await newest(payer, first)).asked[0].control_number
    again = await clinic.open(questionnaire=ADAPTIVE, assertion=number)
    assert again.asking is not None
    assert "step-up-dosing" in answered(again.asking.prefilled)
    assert "step-up-dosing" in answered(again.items) | answered(again.asking.prefilled)
    fresh = await clinic.open(questionnaire=ADAPTIVE)
    assert fresh.asking is not None
    assert "step-up-dosing" not in answered(fresh.asking.prefilled)
