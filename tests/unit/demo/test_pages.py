"""The pages: a story from the list to the decision, what each shows, and what is refused."""

from __future__ import annotations

import html.parser
from typing import Any

import httpx
import pytest

from service.demo.stories import load_stories
from tests.unit.demo.conftest import FakePayer, claim_response

COMPLETE = {
    "answer:birth-date": "1958-02-03",
    "answer:es-sclc": "true",
    "answer:progression-on-platinum": "true",
    "answer:step-up-dosing": "true",
    "answer:neurotoxicity-monitoring": "true",
    "answer:female-of-reproductive-potential": "false",
}
STORY = "/demo/approves-at-once"


class Fields(html.parser.HTMLParser):
    """The fields of a page's forms: name to the values that are set, and every id and label target."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, list[str]] = {}
        self.ids: list[str] = []
        self.labelled: list[str] = []
        self.described: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.tags.append((tag, held))
        if held.get("id"):
            self.ids.append(str(held["id"]))
        if tag == "label" and held.get("for"):
            self.labelled.append(str(held["for"]))
        self.described += str(held.get("aria-describedby") or "").split()
        if tag == "input" and (held.get("type") not in ("radio", "checkbox") or "checked" in held):
            self.values.setdefault(str(held["name"]), []).append(str(held.get("value") or ""))


def read(page: str) -> Fields:
    fields = Fields()
    fields.feed(page)
    return fields


async def open_form(browser: httpx.AsyncClient, story: str = STORY) -> str:
    await browser.post(f"{story}/sign")
    await browser.post(f"{story}/open-form")
    return (await browser.get(f"{story}/form")).text


async def test_the_list_names_every_story(browser: httpx.AsyncClient) -> None:
    page = (await browser.get("/demo")).text
    for story in load_stories():
        assert f'href="/demo/{story.id}"' in page


@pytest.mark.parametrize("story", [story.id for story in load_stories()])
async def test_every_chart_opens(browser: httpx.AsyncClient, story: str) -> None:
    answer = await browser.get(f"/demo/{story}")
    assert answer.status_code == 200
    assert "Sign the order" in answer.text


async def test_signing_shows_the_payers_answer_in_words(browser: httpx.AsyncClient) -> None:
    signed = await browser.post(f"{STORY}/sign")
    assert (signed.status_code, signed.headers["location"]) == (303, f"{STORY}/answer")
    page = (await browser.get(f"{STORY}/answer")).text
    assert "Prior authorization is needed" in page
    assert "Clinical questions must be answered" in page
    assert "Open the form" in page


async def test_selecting_shows_the_answer_before_signing(browser: httpx.AsyncClient) -> None:
    await browser.post(f"{STORY}/select")
    page = (await browser.get(STORY)).text
    assert "Prior authorization is needed" in page
    assert "Sign the order" in page


async def test_the_form_shows_what_the_chart_says_and_where(browser: httpx.AsyncClient) -> None:
    page = await open_form(browser)
    fields = read(page)
    assert fields.values["answer:birth-date"] == ["1958-02-03"]
    assert fields.values["answer:es-sclc"] == ["true"]
    assert fields.values["answer:step-up-dosing"] == [""]
    assert "From the chart" in page
    assert "Extensive-stage small cell lung cancer" in page
    assert "FEP 5.21.223" in page


async def test_the_storys_answer_is_told_where_the_chart_is_silent(browser: httpx.AsyncClient) -> None:
    page = await open_form(browser, "/demo/missing-progression")
    assert page.count("In this story") == 4  # the chart of this test fills date of birth and diagnosis
    assert "leave open" in page


async def test_labels_and_descriptions_point_to_something_once(browser: httpx.AsyncClient) -> None:
    fields = read(await open_form(browser))
    assert len(fields.ids) == len(set(fields.ids))
    assert set(fields.labelled) <= set(fields.ids)
    assert set(fields.described) <= set(fields.ids)


async def test_an_approved_request_shows_number_and_period(browser: httpx.AsyncClient) -> None:
    await open_form(browser)
    sent = await browser.post(f"{STORY}/submit", data=COMPLETE)
    assert (sent.status_code, sent.headers["location"]) == (303, f"{STORY}/decision")
    page = (await browser.get(f"{STORY}/decision")).text
    assert 'data-status="approved"' in page
    assert "PA-1" in page
    assert "2027-12-01" in page


async def test_open_questions_are_named_and_can_be_sent_open(browser: httpx.AsyncClient, payer: FakePayer) -> None:
    note = {"number": 1, "text": "Progression is not recorded."}
    payer.answers["/fhir/Claim/$submit"] = (200, claim_response("A4", processNote=[note]))
    await open_form(browser)
    posted = COMPLETE | {"answer:progression-on-platinum": ""}
    refused = await browser.post(f"{STORY}/submit", data=posted)
    assert refused.status_code == 422
    assert payer.requests_to("/fhir/Claim/$submit") == []
    assert "1 question needs your attention" in refused.text
    assert read(refused.text).values["answer:step-up-dosing"] == ["true"]
    sent = await browser.post(f"{STORY}/submit", data=posted | {"incomplete": "yes"})
    assert sent.status_code == 303
    page = (await browser.get(f"{STORY}/decision")).text
    assert 'data-status="pended"' in page
    assert "Progression is not recorded." in page


async def test_a_faulty_answer_is_kept_and_cannot_be_sent(browser: httpx.AsyncClient, payer: FakePayer) -> None:
    await open_form(browser)
    posted = COMPLETE | {"answer:birth-date": "3 Feb 1958", "incomplete": "yes"}
    refused = await browser.post(f"{STORY}/submit", data=posted)
    assert refused.status_code == 422
    assert "year-month-day" in refused.text
    assert read(refused.text).values["answer:birth-date"] == ["3 Feb 1958"]
    assert "Send without these answers" not in refused.text
    assert payer.requests_to("/fhir/Claim/$submit") == []


async def test_what_is_typed_is_escaped(browser: httpx.AsyncClient) -> None:
    await open_form(browser)
    refused = await browser.post(f"{STORY}/submit", data=COMPLETE | {"answer:birth-date": '"><script>x</script>'})
    assert "<script>x" not in refused.text


async def test_starting_over_forgets_and_gives_a_new_member_id(browser: httpx.AsyncClient) -> None:
    before = (await browser.get("/demo/fhir/Coverage?patient=approves-at-once")).json()
    await browser.post(f"{STORY}/sign")
    await browser.post(f"{STORY}/start-over", data={"guides": "2.0.1"})
    after = (await browser.get("/demo/fhir/Coverage?patient=approves-at-once")).json()
    ids = [found["entry"][0]["resource"]["subscriberId"] for found in (before, after)]
    assert all(member.startswith("DEMO-1001-") for member in ids)
    assert ids[0] != ids[1]
    assert "Sign the order" in (await browser.get(STORY)).text


async def test_the_older_guides_use_the_older_paths(browser: httpx.AsyncClient, payer: FakePayer) -> None:
    await browser.post(f"{STORY}/start-over", data={"guides": "2.0.1"})
    await open_form(browser)
    payer.answers["/2.0.1/fhir/Claim/$submit"] = (200, claim_response("A1"))
    await browser.post(f"{STORY}/submit", data=COMPLETE)
    hook = payer.requests_to("/cds-services/order-sign-crd")[0]
    assert hook["extension"] == {"davinci-crd.requestedVersion": "2.0"}
    assert len(payer.requests_to("/2.0.1/fhir/Questionnaire/$questionnaire-package")) == 1
    sent = payer.requests_to("/2.0.1/fhir/Claim/$submit")[0]
    claim = sent["entry"][0]["resource"]
    assert claim["meta"]["profile"] == ["http://hl7.org/fhir/us/davinci-pas/StructureDefinition/profile-claim-update"]
    assert "extension" not in claim["supportingInfo"][0]


@pytest.mark.parametrize("page", ["", STORY.removeprefix("/demo"), "/nobody", "/static/demo.css", "/static/secret"])
async def test_every_page_carries_the_security_headers(browser: httpx.AsyncClient, page: str) -> None:
    headers = (await browser.get(f"/demo{page}")).headers
    policy = headers["content-security-policy"]
    for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert part in policy
    assert headers["x-content-type-options"] == "nosniff"


async def test_no_page_has_inline_script_style_or_foreign_addresses(browser: httpx.AsyncClient) -> None:
    form = await open_form(browser)
    for page in ((await browser.get("/demo")).text, (await browser.get(STORY)).text, form):
        for tag, attributes in read(page).tags:
            assert tag != "style"
            assert "style" not in attributes
            assert not any(name.startswith("on") for name in attributes)
            if tag in ("script", "img", "link"):
                assert str(attributes.get("src") or attributes.get("href")).startswith("/demo/static/")


@pytest.mark.parametrize(
    ("host", "client", "site"),
    [
        ("127.0.0.1:8080", "192.0.2.7", "same-origin"),
        ("ehr.attacker.example", "127.0.0.1", "same-origin"),
        ("127.0.0.1:8080", "127.0.0.1", "cross-site"),
    ],
)
async def test_other_machines_names_and_sites_are_refused(
    browser: httpx.AsyncClient, host: str, client: str, site: str
) -> None:
    transport: Any = browser._transport
    elsewhere = httpx.ASGITransport(app=transport.app, client=(client, 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url=f"http://{host}") as other:
        answer = await other.post(f"{STORY}/sign", headers={"Sec-Fetch-Site": site})
    assert answer.status_code == 403


async def test_the_fhir_base_is_for_this_machine_too(browser: httpx.AsyncClient) -> None:
    transport: Any = browser._transport
    elsewhere = httpx.ASGITransport(app=transport.app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://127.0.0.1") as other:
        assert (await other.get("/demo/fhir/Patient/male")).status_code == 403


async def test_a_payers_refusal_is_a_page_in_its_words(browser: httpx.AsyncClient, payer: FakePayer) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "No coverage was sent."}]}
    payer.answers["/cds-services/order-sign-crd"] = (400, outcome)
    answer = await browser.post(f"{STORY}/sign")
    assert answer.status_code == 502
    assert "No coverage was sent." in answer.text


async def test_steps_taken_out_of_order_lead_back(browser: httpx.AsyncClient) -> None:
    for page in ("answer", "form", "decision"):
        assert (await browser.get(f"{STORY}/{page}")).headers["location"] == STORY
    assert (await browser.post(f"{STORY}/submit", data=COMPLETE)).status_code == 409
    assert (await browser.post(f"{STORY}/ask-again")).status_code == 409
    assert (await browser.get("/demo/nobody")).status_code == 404


async def test_asking_again_shows_what_was_decided_since(browser: httpx.AsyncClient, payer: FakePayer) -> None:
    payer.answers["/fhir/Claim/$submit"] = (200, claim_response("A4"))
    await open_form(browser)
    await browser.post(f"{STORY}/submit", data=COMPLETE)
    decided = {"name": "return", "resource": claim_response("A1", preAuthRef="PA-9")}
    payer.answers["/fhir/Claim/$inquire"] = (200, {"resourceType": "Parameters", "parameter": [decided]})
    await browser.post(f"{STORY}/ask-again")
    assert "PA-9" in (await browser.get(f"{STORY}/decision")).text
