"""What the clinic sends: hooks, the form's response with its origins, and the request Bundle."""

from __future__ import annotations

from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.demo.ehr import DemoEhr
from service.demo.payer import Guides
from service.demo.stories import Story
from service.dtr.app.payer import PayerRefused
from service.fhir.build import Json
from service.fhir.bundle import Entries
from tests.unit.demo.conftest import FakePayer

SUBMIT = "/fhir/Claim/$submit"
ORIGIN = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/information-origin"
PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
COMPLETE = {
    "answer:birth-date": ["1958-02-03"],
    "answer:es-sclc": ["true"],
    "answer:progression-on-platinum": ["true"],
    "answer:step-up-dosing": ["true"],
    "answer:neurotoxicity-monitoring": ["true"],
    "answer:female-of-reproductive-potential": ["false"],
    "answer:contraception-counseling": ["true"],
}


@pytest.fixture
def story(ehr: DemoEhr) -> Story:
    return ehr.story("approves-at-once")


async def send(ehr: DemoEhr, story: Story, **changes: list[str]) -> None:
    await ehr.sign_order(story)
    await ehr.open_form(story)
    changed = {f"answer:{name.replace('_', '-')}": text for name, text in changes.items()}
    await ehr.submit(story, COMPLETE | changed, incomplete=False)


def sent_bundle(payer: FakePayer, path: str = SUBMIT) -> Json:
    bundle: Json = payer.requests_to(path)[-1]
    return bundle


def sent(payer: FakePayer, kind: str, path: str = SUBMIT) -> Any:
    return next(e["resource"] for e in sent_bundle(payer, path)["entry"] if e["resource"]["resourceType"] == kind)


def answers(response: Json) -> dict[str, Json]:
    found = {}
    waiting = list(response["item"])
    while waiting:
        item = waiting.pop()
        waiting += item.get("item", ())
        for answer in item.get("answer", ()):
            found[item["linkId"]] = answer
    return found


def origin(answer: Json) -> tuple[str, str | None]:
    parts = answer["extension"][0]["extension"]
    assert answer["extension"][0]["url"] == ORIGIN
    by = [part["extension"][0]["valueReference"]["reference"] for part in parts if part["url"] == "author"]
    return parts[0]["valueCode"], by[0] if by else None


async def test_the_hook_is_sent_what_it_asks_for(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await ehr.select_order(story)
    await ehr.sign_order(story)
    select = payer.requests_to("/cds-services/order-select-crd")[0]
    sign = payer.requests_to("/cds-services/order-sign-crd")[0]
    assert select["context"]["selections"] == ["MedicationRequest/approves-at-once-order"]
    assert "selections" not in sign["context"]
    assert sign["prefetch"]["patient"]["id"] == sign["context"]["patientId"] == "approves-at-once"
    coverage = sign["prefetch"]["coverage"]["entry"][0]["resource"]
    assert coverage["payor"][0]["identifier"]["value"] == "PAYER01"
    assert sign["prefetch"]["practitioners"]["entry"][0]["resource"]["id"] == "oncologist"
    assert "encounter" not in sign["prefetch"]
    assert sign["extension"] == {"davinci-crd.requestedVersion": "2.2"}
    assert sign["hookInstance"] != select["hookInstance"]


async def test_the_payers_update_replaces_the_order_which_is_then_active(ehr: DemoEhr, story: Story) -> None:
    await ehr.select_order(story)
    assert "extension" not in ehr.chart(story).order
    await ehr.sign_order(story)
    order = ehr.chart(story).order
    assert order["status"] == "active"
    assert order["extension"][0]["url"].endswith("ext-coverage-information")


async def test_the_form_is_asked_for_by_order_coverage_and_assertion(
    ehr: DemoEhr, story: Story, payer: FakePayer
) -> None:
    await ehr.sign_order(story)
    await ehr.open_form(story)
    asked = payer.requests_to("/fhir/Questionnaire/$questionnaire-package")[0]
    get_fhir_model_class("Parameters").model_validate(asked)
    assert [part["name"] for part in asked["parameter"]] == ["coverage", "order", "context"]
    assert asked["parameter"][2]["valueString"] == "assertion-1"


async def test_each_answer_says_who_gave_it(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story, birth_date=["1958-02-04"])
    response = sent(payer, "QuestionnaireResponse")
    get_fhir_model_class("QuestionnaireResponse").model_validate(response)
    given = answers(response)
    assert origin(given["es-sclc"]) == ("auto-client", None)
    assert origin(given["birth-date"]) == ("override", "Practitioner/oncologist")
    assert origin(given["step-up-dosing"]) == ("manual", "Practitioner/oncologist")


async def test_the_older_guide_has_one_word_for_automatic(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    ehr.start_over(story, Guides.OLDEST)
    payer.answers["/2.0.1/fhir/Claim/$submit"] = (500, {})
    with pytest.raises(PayerRefused):
        await send(ehr, story)
    response = sent(payer, "QuestionnaireResponse", "/2.0.1/fhir/Claim/$submit")
    assert origin(answers(response)["es-sclc"]) == ("auto", None)
    contexts = [part["url"].rpartition("/")[2] for part in response["extension"]]
    assert contexts == ["qr-context", "qr-context", "intendedUse"]


async def test_a_question_that_is_not_asked_has_no_answer(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story)
    assert "contraception-counseling" not in answers(sent(payer, "QuestionnaireResponse"))


async def test_the_response_keeps_the_forms_groups(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story)
    response = sent(payer, "QuestionnaireResponse")
    assert [item["linkId"] for item in response["item"]] == ["diagnosis", "treatment", "reproductive-potential"]
    assert response["questionnaire"] == "https://payer.example.org/fhir/Questionnaire/imdelltra-initial|1.0.0"
    assert (response["status"], response["subject"]["reference"]) == ("completed", "Patient/approves-at-once")


async def test_the_request_is_valid_and_complete(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story)
    bundle = sent_bundle(payer)
    for held in bundle["entry"]:
        get_fhir_model_class(held["resource"]["resourceType"]).model_validate(held["resource"])
    assert bundle["type"] == "collection"
    assert {"identifier", "timestamp", "meta"} <= bundle.keys()
    entries = Entries.of(bundle)
    assert entries.duplicate_full_urls() == ()
    claim = entries.all_entries[0].resource
    assert claim["resourceType"] == "Claim"
    reached = {(r["resourceType"], r["id"]) for r in entries.reachable(claim)}
    assert reached == {(e.resource["resourceType"], e.resource["id"]) for e in entries.all_entries[1:]}
    for kind in ("Patient", "Coverage", "Practitioner", "MedicationRequest", "QuestionnaireResponse", "Condition"):
        assert entries.first(kind) is not None
    assert len(entries.all("Organization")) == 2


async def test_the_claim_has_what_pas_wants(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story)
    claim = sent(payer, "Claim")
    line = claim["item"][0]
    urls = {part["url"] for part in line["extension"]}
    assert {PAS + "extension-serviceItemRequestType", PAS + "extension-certificationType"} <= urls
    requested = next(part for part in line["extension"] if part["url"] == PAS + "extension-requestedService")
    assert requested["valueReference"]["reference"] == "MedicationRequest/approves-at-once-order"
    assert line["productOrService"]["coding"][0]["code"] == "J9026"
    assert line["quantity"] == {"value": 61, "unit": "unit"}
    assert line["servicedPeriod"] == {"start": "2026-12-02", "end": "2027-02-24"}
    assert line["locationCodeableConcept"]["coding"][0]["code"] == "11"
    assert claim["diagnosis"][0]["diagnosisCodeableConcept"]["coding"] == [
        {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "C34.90"}
    ]
    assert claim["supportingInfo"][0]["extension"][0]["url"] == PAS + "extension-documentInformation"
    assert (claim["use"], claim["status"]) == ("preauthorization", "active")
    assert claim["created"] == "2026-11-22T18:00:00Z"


async def test_two_requests_are_two_requests(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    await send(ehr, story)
    await send(ehr, story)
    first, second = (bundle["entry"][0]["resource"] for bundle in payer.requests_to(SUBMIT))
    assert first["id"] != second["id"]
    assert first["identifier"] != second["identifier"]


async def test_the_earlier_request_is_the_same_at_every_start(ehr: DemoEhr, payer: FakePayer) -> None:
    story = ehr.story("renewal")
    await ehr.recall(story)
    await ehr.recall(story)
    assert len(payer.requests_to(SUBMIT)) == 1
    again = DemoEhr(ehr._around)
    await again.recall(again.story("renewal"))
    first, second = payer.requests_to(SUBMIT)
    assert first == second
    claim = first["entry"][0]["resource"]
    assert claim["created"] == "2026-04-02T09:00:00Z"
    assert claim["item"][0]["servicedPeriod"]["start"] == "2026-04-02"
    assert len(answers(sent(payer, "QuestionnaireResponse"))) == 6
    # In the chart the order is completed by now; PAS 2.2.1 profile-medicationrequest has it active in a request.
    assert sent(payer, "MedicationRequest")["status"] == "active"
    asked = payer.requests_to("/fhir/Questionnaire/$questionnaire-package")[0]
    assert asked["parameter"][1]["valueCanonical"].endswith("/imdelltra-initial")


async def test_starting_over_gives_the_new_member_the_same_past(ehr: DemoEhr, payer: FakePayer) -> None:
    story = ehr.story("renewal")
    await ehr.recall(story)
    ehr.start_over(story)
    await ehr.recall(story)
    members = [
        next(e["resource"]["subscriberId"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Coverage")
        for bundle in payer.requests_to(SUBMIT)
    ]
    assert members[0] == "DEMO-1007"
    assert members[1].startswith("DEMO-1007-")


async def test_an_inquiry_names_the_same_parties(ehr: DemoEhr, story: Story, payer: FakePayer) -> None:
    payer.answers["/fhir/Claim/$inquire"] = (200, {"resourceType": "Parameters"})
    await send(ehr, story)
    await ehr.ask_again(story)
    inquiry = payer.requests_to("/fhir/Claim/$inquire")[0]
    for held in inquiry["entry"]:
        get_fhir_model_class(held["resource"]["resourceType"]).model_validate(held["resource"])
    claim = inquiry["entry"][0]["resource"]
    assert claim["meta"]["profile"] == [PAS + "profile-claim-inquiry"]
    assert claim["identifier"][0]["value"] != sent(payer, "Claim")["identifier"][0]["value"]
    kinds = [held["resource"]["resourceType"] for held in inquiry["entry"][1:]]
    assert sorted(kinds) == ["Coverage", "Organization", "Organization", "Patient"]
    progress = ehr.progress(story)
    assert progress.sent is not None
    assert progress.sent.decision.status == "approved"
