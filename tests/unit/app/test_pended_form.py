"""From what we ask for to the form, and from the form to the approval: PAS and DTR of the whole application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.app.compose import create_app
from service.settings import Settings
from tests.doubles import FrozenClock
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import update
from tests.unit.pas.payer import NOW, code_of, response_of
from tests.unit.pas.test_attachment import sent

Json = dict[str, Any]
BASES = {"2.2.1": "/fhir", "2.0.1": "/2.0.1/fhir"}
BOTH = pytest.mark.parametrize("version", BASES)


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(Settings(demo=True, **settings), folder, clock=FrozenClock(NOW))
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 50000))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(tmp_path) as client:
        yield client


async def post(http: httpx.AsyncClient, path: str, body: Json) -> Json:
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def task_of(answer: Json) -> Json:
    [task] = [one["resource"] for one in answer["entry"] if one["resource"]["resourceType"] == "Task"]
    found: Json = task
    return found


def needed(task: Json) -> Json:
    """The value of the input that names the form's context, as the Task has it: a string or an Identifier."""
    [wanted] = [
        one
        for one in task["input"]
        if one["type"]["coding"][0]["code"] in {"questionnaire-context", "questionnaires-needed"}
    ]
    return {name: value for name, value in wanted.items() if name.startswith("value")}


def asking(context: Json) -> Json:
    """The input of $questionnaire-package: a coverage, its payor and a context."""
    parameters = [
        {"name": "coverage", "resource": b.coverage()},
        {"name": "referenced", "resource": b.insurer()},
        {"name": "context", **context},
    ]
    return {"resourceType": "Parameters", "parameter": parameters}


def package_in(answer: Json) -> Json:
    """The one package of an answer of either version."""
    if answer["resourceType"] == "Bundle":
        return answer
    [package] = [
        one["resource"] for one in answer["parameter"] if one.get("resource", {}).get("resourceType") == "Bundle"
    ]
    found: Json = package
    return found


def completed(draft: Json) -> Json:
    """The draft as the provider's software sends it once everything is answered."""
    answered = b.response()
    return {**draft, "status": "completed", "authored": answered["authored"], "item": answered["item"]} | {
        "subject": b.refer(b.PATIENT)
    }


async def form_for(http: httpx.AsyncClient, base: str, context: Json) -> tuple[Json, Json]:
    """(form, draft) that a context leads to."""
    package = package_in(await post(http, f"{base}/Questionnaire/$questionnaire-package", asking(context)))
    form, draft = (one["resource"] for one in package["entry"][:2])
    assert draft["resourceType"] == "QuestionnaireResponse"
    return form, draft


def unanswered(*items: Json) -> Json:
    return b.bundle({b.CLAIM: b.claim(*items), b.RESPONSE: b.response({})})


@BOTH
@pytest.mark.parametrize("way", ["attachment", "update"])
@pytest.mark.requirement("PAS ainfo-3")
async def test_from_what_is_asked_for_to_the_approval(http: httpx.AsyncClient, version: str, way: str) -> None:
    base = BASES[version]
    pended = await post(http, f"{base}/Claim/$submit", unanswered())
    assert code_of(response_of(pended)["item"][0]) == "A4"
    task = task_of(pended)
    form, draft = await form_for(http, base, needed(task))
    assert form["url"].endswith("/imdelltra-initial")
    assert draft["status"] == "in-progress"
    assert draft["questionnaire"].partition("|")[0] == form["url"]
    done = completed(draft)
    if way == "attachment":
        await post(http, f"{base}/$submit-attachment", sent(task["identifier"][0]["value"], done))
        read = await http.get(f"{base}/ClaimResponse/{response_of(pended)['id']}")
        answer: Json = read.json()
    else:
        answer = response_of(await post(http, f"{base}/Claim/$submit", update(b.item(), changed={b.RESPONSE: done})))
    assert (code_of(answer["item"][0]), answer["outcome"]) == ("A1", "complete")
    # What nobody waits for any more leads nowhere.
    for context in (needed(task), {"valueString": task["identifier"][0]["value"]}):
        gone = await http.post(f"{base}/Questionnaire/$questionnaire-package", json=asking(context))
        assert (gone.status_code, gone.json()["resourceType"]) == (404, "OperationOutcome")


@BOTH
async def test_a_line_without_a_trace_number_is_named_by_our_control_number(
    http: httpx.AsyncClient, version: str
) -> None:
    item = b.item()
    item["extension"] = [one for one in item["extension"] if not one["url"].endswith("itemTraceNumber")]
    task = task_of(await post(http, f"{BASES[version]}/Claim/$submit", unanswered(item)))
    control = task["identifier"][0]["value"]
    assert control in str(needed(task))
    for context in (needed(task), {"valueString": control}, {"valueIdentifier": {"value": control}}):
        form, _ = await form_for(http, BASES[version], context)
        assert form["url"].endswith("/imdelltra-initial")


@BOTH
async def test_either_version_s_task_opens_the_form_in_both(http: httpx.AsyncClient, version: str) -> None:
    task = task_of(await post(http, f"{BASES[version]}/Claim/$submit", unanswered()))
    for base in BASES.values():
        form, _ = await form_for(http, base, needed(task))
        assert form["url"].endswith("/imdelltra-initial")


async def test_the_newest_version_of_a_request_is_meant(http: httpx.AsyncClient) -> None:
    """The trace number of the line is the same in both versions; the one that still waits counts."""
    await post(http, "/fhir/Claim/$submit", unanswered())
    still = await post(http, "/fhir/Claim/$submit", update(b.item(), changed={b.RESPONSE: b.response({})}))
    form, _ = await form_for(http, "/fhir", needed(task_of(still)))
    assert form["url"].endswith("/imdelltra-initial")


async def test_the_payer_s_kind_of_form_is_opened(tmp_path: Path) -> None:
    async with opened(tmp_path, adaptive_forms=True) as http:
        task = task_of(await post(http, "/fhir/Claim/$submit", unanswered()))
        form, _ = await form_for(http, "/fhir", needed(task))
        assert form["meta"]["profile"][0].endswith("dtr-questionnaire-adapt-search")


async def test_a_line_that_no_policy_covers_has_no_form_and_says_so(http: httpx.AsyncClient) -> None:
    item = b.item(code="99212")
    item["extension"] = item["extension"][:3]
    answer = await post(http, "/fhir/Claim/$submit", unanswered(item))
    assert code_of(response_of(answer)["item"][0]) == "A4"
    told = await post(http, "/fhir/Questionnaire/$questionnaire-package", asking({"valueString": "LINE-1"}))
    [outcome] = [one["resource"] for one in told["parameter"]]
    assert outcome["issue"][0]["severity"] == "information"


@BOTH
@pytest.mark.parametrize("kind", ["authorization", "reference", "claim", "made up"])
async def test_other_numbers_are_no_context(http: httpx.AsyncClient, version: str, kind: str) -> None:
    granted = response_of(await post(http, "/fhir/Claim/$submit", b.bundle()))
    pended = response_of(await post(http, "/fhir/Claim/$submit", unanswered(b.item(quantity={"value": 2}))))
    [reference] = [
        one["valueString"]
        for one in pended["item"][0]["extension"]
        if one["url"].endswith("administrationReferenceNumber")
    ]
    number = {
        "authorization": granted["preAuthRef"],
        "reference": reference,
        "claim": "TRN-2026-000123",
        "made up": "AC0000000000",
    }[kind]
    answer = await http.post(
        f"{BASES[version]}/Questionnaire/$questionnaire-package", json=asking({"valueString": number})
    )
    assert (answer.status_code, answer.json()["resourceType"]) == (404, "OperationOutcome")
    assert number not in answer.text


def said(items: list[Json]) -> dict[str, Any]:
    """The value of each answered question, and where it came from."""
    found: dict[str, Any] = {}
    for item in items:
        for answer in item.get("answer", ()):
            found[item["linkId"]] = next(value for name, value in answer.items() if name.startswith("value"))
            assert "information-origin" in str(answer["extension"])
        found |= said(item.get("item", []))
    return found


@BOTH
async def test_the_draft_holds_what_the_case_s_request_answered(http: httpx.AsyncClient, version: str) -> None:
    """Only what is missing is asked again."""
    answers = {"es-sclc": True, "step-up-dosing": True}
    sent_in = b.bundle({b.CLAIM: b.claim(b.item()), b.RESPONSE: b.response(answers)})
    task = task_of(await post(http, f"{BASES[version]}/Claim/$submit", sent_in))
    asked = asking(needed(task))
    answer = await post(http, f"{BASES[version]}/Questionnaire/$questionnaire-package", asked)
    draft = package_in(answer)["entry"][1]["resource"]
    assert said(draft["item"]) == answers


async def test_another_patient_s_draft_takes_nothing_over(http: httpx.AsyncClient) -> None:
    sent_in = b.bundle({b.CLAIM: b.claim(b.item()), b.RESPONSE: b.response({"es-sclc": True})})
    asked = asking(needed(task_of(await post(http, "/fhir/Claim/$submit", sent_in))))
    asked["parameter"][0]["resource"]["beneficiary"] = {"reference": "Patient/another"}
    draft = package_in(await post(http, "/fhir/Questionnaire/$questionnaire-package", asked))["entry"][1]["resource"]
    assert said(draft["item"]) == {}


async def test_an_answer_that_is_none_is_not_taken_over(http: httpx.AsyncClient) -> None:
    wrong = b.response({"es-sclc": True, "step-up-dosing": True})
    wrong["item"][0]["answer"] = [{"valueString": "maybe"}]
    sent_in = b.bundle({b.CLAIM: b.claim(b.item()), b.RESPONSE: wrong})
    asked = asking(needed(task_of(await post(http, "/fhir/Claim/$submit", sent_in))))
    draft = package_in(await post(http, "/fhir/Questionnaire/$questionnaire-package", asked))["entry"][1]["resource"]
    assert said(draft["item"]) == {"step-up-dosing": True}
