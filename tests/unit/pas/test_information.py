"""What a pended request still needs, as CommunicationRequest and Task, in both versions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.errors import EngineFailed
from service.fhir.parse import StructureCheck
from service.pas.filed import filed
from service.pas.information import open_requests, with_questions
from service.pas.response import answer_entries
from service.pas.routes import SHAPES
from service.pas.shape import Rendering, Version
from service.policy.case import CaseId, InfoRequest
from service.ports import CaseChange, Evaluation
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import PAS, Payer, response_of
from tests.unit.pas.test_attachment import DOCUMENT, asked_for_document, pended, sent, stored, take

Json = dict[str, Any]
CODES = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
BASES: dict[Version, str] = {
    "2.2.1": "https://payer.example.org/fhir",
    "2.0.1": "https://payer.example.org/2.0.1/fhir",
}
BOTH = pytest.mark.parametrize("version", BASES)


def kinds(bundle: Json, kind: str) -> list[Json]:
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == kind]


def inputs(task: Json) -> list[tuple[str, Any, list[Json]]]:
    """(code, value, extensions) of each input."""
    found = []
    for one in task["input"]:
        [coding] = one["type"]["coding"]
        assert coding["system"] == CODES
        value = next(value for name, value in one.items() if name.startswith("value"))
        found.append((coding["code"], value, one.get("extension", [])))
    return found


def two_lines() -> Json:
    items = (b.item(1), b.item(2, servicedPeriod={"start": "2026-12-01", "end": "2026-12-31"}))
    return b.bundle({b.CLAIM: b.claim(*items), b.RESPONSE: b.response({})})


@BOTH
async def test_each_line_is_asked_for_with_a_task_of_its_own(
    payer: Payer, check: StructureCheck, version: Version
) -> None:
    answer = await payer.submit(two_lines(), version)
    assert check.check(answer) == ()
    response, base = response_of(answer), BASES[version]
    requests = kinds(answer, "CommunicationRequest")
    tasks = kinds(answer, "Task")
    for resource in (*requests, *tasks):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert response["communicationRequest"] == [
        {"reference": f"{base}/CommunicationRequest/{one['id']}"} for one in requests
    ]
    urls = [one["fullUrl"] for one in answer["entry"]]
    assert {f"{base}/Task/{task['id']}" for task in tasks} <= set(urls)
    case = await stored(payer, CaseId(response["id"]))
    numbers = [one.control_number for one in case.asked]
    assert len(set(numbers)) == 2
    for request, asked in zip(requests, case.asked, strict=True):
        assert request["status"] == "active"
        assert [one["value"] for one in request["identifier"]] == [asked.control_number]
        assert request["medium"] == [{"coding": [{"system": CODES, "code": "CDEX"}]}]
        assert (request["requester"], request["sender"]) == (response["insurer"], response["requestor"])
        assert request["recipient"] == [response["requestor"]]
        [payload] = request["payload"]
        assert payload["contentString"] == "102089-0"
        line = {"url": PAS + "serviceLineNumber", "valuePositiveInt": asked.sequence}
        assert request.get("extension", []) == ([line] if version == "2.2.1" else [])
        diagnosis = {
            "url": PAS + "communicatedDiagnosis",
            "valueCodeableConcept": b.coded("http://hl7.org/fhir/sid/icd-10-cm", "C34.90"),
        }
        assert payload["extension"] == ([diagnosis] if version == "2.2.1" else [line, diagnosis])
    assert [task["id"] for task in tasks] == numbers
    for task, asked in zip(tasks, case.asked, strict=True):
        _assert_asks_for_the_form(task, asked, response, version)


def _assert_asks_for_the_form(task: Json, asked: InfoRequest, response: Json, version: Version) -> None:
    """For one line alone, in the way of the version."""
    number = asked.sequence
    assert [one["value"] for one in task["identifier"]] == [asked.control_number]
    assert (task["status"], task["intent"]) == ("requested", "order")
    assert task["statusReason"] == {"text": asked.text}
    assert task["code"]["coding"] == [{"system": CODES, "code": "attachment-request-questionnaire"}]
    assert task["reasonCode"]["coding"] == [{"system": CODES, "code": "priorAuthorization"}]
    assert (task["for"], task["reasonReference"]) == (response["patient"], response["request"])
    assert task["requester"]["identifier"]["value"] == "PAYER01"
    assert task["owner"]["identifier"] == {"system": b.NPI, "value": "1245319599"}
    assert task["restriction"]["period"]["end"] == asked.due.isoformat().replace("+00:00", "Z")
    url, needed = inputs(task)
    assert url == ("payer-url", f"{BASES[version]}/$submit-attachment", [])
    if version == "2.2.1":
        line = {"url": PAS + "serviceLineNumber", "valuePositiveInt": number}
        assert needed == ("questionnaire-context", f"LINE-{number}", [line])
    else:
        trace = {"system": "urn:trnorg:1245319599", "value": f"LINE-{number}"}
        assert needed == ("questionnaires-needed", trace, [{"url": PAS + "paLineNumber", "valueInteger": number}])


async def test_what_is_asked_says_which_questions_are_open(payer: Payer) -> None:
    answers = {name: value for name, value in b.ANSWERS.items() if name != "step-up-dosing"}
    case = await pended(payer, answers)
    [asked] = case.asked
    assert asked.link_ids == ("step-up-dosing",)
    assert asked.asks_form
    assert (asked.asked_at, asked.due) == (case.decided_at, case.due)
    [finding] = [one for one in case.lines[0].determination.findings if one.criterion.id == "step-up-dosing"]
    assert finding.criterion.text in asked.text


@BOTH
@pytest.mark.requirement("ainfo-2")
async def test_a_document_is_a_task_of_its_own(payer: Payer, version: Version) -> None:
    case = await asked_for_document(payer)
    answer = await answer_again(payer, case.id, version)
    form, document = kinds(answer, "Task")
    assert document["code"]["coding"][0]["code"] == "attachment-request-code"
    [_, (kind, value, [line])] = inputs(document)
    assert (kind, value["coding"]) == ("attachments-needed", [{"system": "http://loinc.org", "code": "11526-1"}])
    expected = ("serviceLineNumber", "valuePositiveInt") if version == "2.2.1" else ("paLineNumber", "valueInteger")
    assert line == {"url": PAS + expected[0], expected[1]: 1}
    contents = [one["payload"][0]["contentString"] for one in kinds(answer, "CommunicationRequest")]
    assert contents == ["102089-0", "11526-1"]
    assert form["id"] != document["id"]


@BOTH
async def test_a_document_is_told_in_the_payer_s_codes_where_its_table_has_them(
    payer: Payer, version: Version
) -> None:
    case = await asked_for_document(payer)
    [_, plain] = kinds(await answer_again(payer, case.id, version), "CommunicationRequest")
    assert "category" not in plain
    codes = replace(
        payer.dependencies.codes, report_types={"11526-1": "15"}, content_modifiers={"11526-1": "18804-5"}
    )
    payer.dependencies = replace(payer.dependencies, codes=codes)
    answer = await answer_again(payer, case.id, version)
    form, document = kinds(answer, "CommunicationRequest")
    assert "category" not in form
    [category] = document["category"]
    assert category["coding"] == [{"system": "https://codesystem.x12.org/005010/755", "code": "15"}]
    modifier = {
        "url": PAS + "contentModifier",
        "valueCodeableConcept": b.coded("http://loinc.org", "18804-5"),
    }
    assert document["payload"][0]["extension"][-1] == modifier
    assert modifier not in form["payload"][0]["extension"]
    [_, (_, _, said)] = inputs(kinds(answer, "Task")[1])
    # 2.0.1 has no place for it in a Task.
    assert (modifier in said) == (version == "2.2.1")


async def answer_again(payer: Payer, case_id: CaseId, version: Version) -> Json:
    """The case's answer as it is now."""
    found = await payer.store.case(case_id)
    assert found is not None
    case = filed(*found, payer.settings)
    rendering = Rendering(payer.settings, payer.dependencies.codes, SHAPES[version])
    return {"entry": answer_entries(case.case, case.received, rendering)}


async def test_what_was_answered_is_not_asked_for_any_more(payer: Payer) -> None:
    case = await asked_for_document(payer)
    await take(payer, sent("ACDOC", DOCUMENT))
    answer = await answer_again(payer, case.id, "2.2.1")
    assert [one["code"]["coding"][0]["code"] for one in kinds(answer, "Task")] == ["attachment-request-questionnaire"]
    await take(payer, sent(case.asked[0].control_number, b.response()))
    answer = await answer_again(payer, case.id, "2.2.1")
    assert kinds(answer, "Task") == kinds(answer, "CommunicationRequest") == []
    assert "communicationRequest" not in response_of(answer)


async def test_an_inquiry_s_answer_has_no_place_for_it(payer: Payer) -> None:
    await pended(payer)
    [hit] = (await payer.inquire(b.bundle()))["parameter"]
    assert "communicationRequest" not in response_of(hit["resource"])
    assert kinds(hit["resource"], "CommunicationRequest") == []


async def test_nothing_is_asked_where_no_answer_would_help(payer: Payer) -> None:
    unmet = {**b.ANSWERS, "progression-on-platinum": False}
    for bundle in (b.bundle({b.RESPONSE: b.response(unmet)}), b.bundle({b.CLAIM: b.claim(b.item(1, code="J0000"))})):
        case = await stored(payer, CaseId(response_of(await payer.submit(bundle))["id"]))
        assert case.asked == ()

    class Broken:
        async def evaluate(self, evaluation: Evaluation) -> Any:
            raise EngineFailed("broken")

    payer.evaluate_with(Broken())
    failed = await pended(payer, {}, b.item(3))
    assert failed.asked == ()


async def test_a_line_that_waits_for_an_answer_is_not_asked_again(payer: Payer) -> None:
    case = await pended(payer)
    assert with_questions(case, payer.clock.now()) == case


async def test_a_line_without_trace_number_goes_by_the_control_number(payer: Payer) -> None:
    plain = b.item(1)
    plain["extension"] = [one for one in plain["extension"] if not one["url"].endswith("itemTraceNumber")]
    for version in BASES:
        bundle = b.bundle({b.CLAIM: b.claim(plain), b.RESPONSE: b.response({})})
        answer = await payer.submit(bundle, version)
        [asked] = (await stored(payer, CaseId(response_of(answer)["id"]))).asked
        [_, (_, value, _)] = inputs(kinds(answer, "Task")[0])
        assert (value if version == "2.2.1" else value["value"]) == asked.control_number


async def test_a_provider_with_no_identifier_owns_nothing(payer: Payer) -> None:
    nameless = {name: value for name, value in b.requestor().items() if name != "identifier"}
    answer = await payer.submit(b.bundle({b.REQUESTOR: nameless, b.RESPONSE: b.response({})}))
    assert "owner" not in kinds(answer, "Task")[0]


async def test_decided_lines_have_no_open_requests(payer: Payer) -> None:
    case = await pended(payer)
    assert len(open_requests(case)) == 1
    await take(payer, sent(case.asked[0].control_number, b.response()))
    after = await stored(payer, case.id)
    assert open_requests(replace(after, asked=case.asked)) == ()


async def test_what_an_answer_refers_to_is_read_by_its_client(payer: Payer, http: httpx.AsyncClient) -> None:
    answer = await payer.submit(two_lines())
    wanted = [one for one in answer["entry"] if one["resource"]["resourceType"] in {"CommunicationRequest", "Task"}]
    assert len(wanted) == 4
    for one in wanted:
        read = await http.get(one["fullUrl"])
        assert (read.status_code, read.json()) == (200, one["resource"])
        stranger = await http.get(one["fullUrl"], headers={"x-client": "stranger"})
        assert stranger.status_code == 404
    assert (await http.get("/fhir/Task/unknown")).status_code == 404
    assert (await http.get("/fhir/CommunicationRequest/unknown")).status_code == 404


async def test_over_http_an_attachment_is_received(payer: Payer, http: httpx.AsyncClient) -> None:
    case = await pended(payer)
    for base in ("/fhir", "/2.0.1/fhir"):
        answer = await http.post(f"{base}/$submit-attachment", json=sent(case.asked[0].control_number, b.response()))
        assert (answer.status_code, answer.json()["resourceType"]) == (200, "OperationOutcome")
    unknown = await http.post("/fhir/$submit-attachment", json=sent("ACUNKNOWN", b.response()))
    assert (unknown.status_code, unknown.json()["resourceType"]) == (404, "OperationOutcome")
    assert payer.scopes == ["system/Claim.cu"] * 3


async def test_a_reviewer_s_question_about_the_form_asks_for_the_form(payer: Payer) -> None:
    case = await pended(payer)
    own = replace(
        case.asked[0], control_number="ACFORM", text="Please check the stage.", link_ids=(), loinc="102089-0"
    )
    changed = replace(case, asked=(own,))
    await payer.store.save(CaseChange(changed, case.revision, {"kind": "test"}))
    [task] = kinds(await answer_again(payer, case.id, "2.2.1"), "Task")
    assert task["code"]["coding"][0]["code"] == "attachment-request-questionnaire"
