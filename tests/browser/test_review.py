"""The reviewers' console in a real browser: what a person does, at both widths, by keyboard, checked by axe-core."""

from __future__ import annotations

import copy
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from service.catalog.registry import HOME
from service.fhir.json import encode
from tests.e2e.server import serving
from tests.unit.pas.payer import code_of
from tests.unit.review.conftest import unanswered

PASSWORD = "a long enough password"
AXE = HOME / "node_modules" / "axe-core" / "axe.min.js"
ACCOUNTS = {
    "cora": ("--name", "Cora Clinician", "--role", "clinician", "--npi", "1003000126", "--specialty", "207RH0003X"),
    "rita": ("--name", "Rita Reviewer"),
    "ada": ("--name", "Ada Auditor", "--role", "auditor"),
}
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SignIn = Callable[..., Page]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The real service, with three accounts that the command line made."""
    data = tmp_path_factory.mktemp("review")
    with serving(data) as served:
        for login, words in ACCOUNTS.items():
            command = [sys.executable, "-m", "service", "reviewer", "add", login, *words, "--data", str(data)]
            subprocess.run(command, input=f"{PASSWORD}\n", text=True, check=True, cwd=HOME)
        yield served.http
        assert PASSWORD not in served.log.read_text()


@pytest.fixture
def sign_in(chromium: Browser, service: httpx.Client) -> Iterator[SignIn]:
    """Signs somebody in, in a browser window of their own; a request to anywhere else fails the test."""
    opened: list[BrowserContext] = []
    outside: list[str] = []
    troubles: list[str] = []
    home = urlsplit(str(service.base_url)).netloc

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).netloc == home:
            route.continue_()
            return
        outside.append(route.request.url)
        route.abort()

    def enter(login: str | None, size: dict[str, int] = WIDE) -> Page:
        context = chromium.new_context(viewport=size, base_url=str(service.base_url))  # type: ignore[arg-type] # a dict
        opened.append(context)
        context.route("**/*", guard)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
        page.goto("/review/sign-in")
        if login:
            page.get_by_label("Account").fill(login)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for a decision")
        return page

    yield enter
    for context in opened:
        context.close()
    assert (outside, troubles) == ([], [])


@pytest.fixture
def case_id(service: httpx.Client) -> str:
    """A new request that waits for a reviewer."""
    request = copy.deepcopy(unanswered())
    request["identifier"]["value"] = f"urn:uuid:{uuid.uuid4()}"
    headers = {"content-type": "application/fhir+json"}
    answer = service.post("/fhir/Claim/$submit", content=encode(request), headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["entry"][0]["resource"]["id"])


def claim_response(service: httpx.Client, case_id: str) -> dict[str, Any]:
    """What the provider reads of the case now."""
    answer = service.get(f"/fhir/ClaimResponse/{case_id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def check(page: Page) -> None:
    """axe-core finds nothing, and nothing hangs over the edge."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run()).violations.map(v => [v.id, v.nodes.map(n => n.html)])")
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def choose(page: Page, verdict: str) -> None:
    page.get_by_role("group", name="Your decision on line 1").get_by_label(verdict, exact=True).check()


def record(page: Page) -> None:
    page.get_by_role("button", name="Record the decision").click()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_every_page_is_accessible_at_both_widths(sign_in: SignIn, case_id: str, size: dict[str, int]) -> None:
    check(sign_in(None, size))
    page = sign_in("cora", size)
    for path in ("/review", f"/review/cases/{case_id}", "/review/report", "/review/cases/none"):
        page.goto(path)
        check(page)
    page.goto(f"/review/cases/{case_id}")
    for verdict in ("Approve", "Approve with changes", "Deny", "Ask for information"):
        choose(page, verdict)
        check(page)
    record(page)
    expect(page.get_by_role("alert")).to_contain_text("The decision was not recorded.")
    check(page)


def test_claim_and_approve(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    page = sign_in("rita")
    page.locator(f'a[href="/review/cases/{case_id}"]').click()
    page.get_by_role("button", name="Claim it").click()
    expect(page.get_by_role("heading", name="You have this case")).to_be_visible()
    choose(page, "Approve")
    expect(page.locator(".detail.approve")).to_be_visible()
    expect(page.locator(".detail.modify")).to_be_hidden()
    record(page)
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "approved")
    response = claim_response(service, case_id)
    assert code_of(response["item"][0]) == "A1"
    assert response["preAuthRef"] in page.content()
    page.goto("/review")
    assert case_id not in page.content()


def test_approve_fewer_units(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    page = sign_in("rita")
    page.goto(f"/review/cases/{case_id}")
    choose(page, "Approve with changes")
    page.get_by_label("Units").fill("41")
    page.get_by_label("Reason, told to the provider").fill("Two cycles first.")
    record(page)
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "modified")
    response = claim_response(service, case_id)
    assert code_of(response["item"][0]) == "A6"
    assert response["addItem"][0]["quantity"]["value"] == 41


def test_a_clinician_denies_and_a_reviewer_cannot(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    page = sign_in("rita")
    page.goto(f"/review/cases/{case_id}")
    expect(page.get_by_label("Deny", exact=True)).to_have_count(0)
    # A reviewer who sends it all the same.
    page.evaluate("document.querySelector('input[value=approve]').value = 'deny'")
    choose(page, "Approve")
    record(page)
    expect(page.get_by_role("main")).to_contain_text("Choose the reason")
    assert code_of(claim_response(service, case_id)["item"][0]) == "A4"

    page = sign_in("cora")
    page.goto(f"/review/cases/{case_id}")
    choose(page, "Deny")
    page.get_by_label("Specific reason, told to the provider").select_option("sentence:es-sclc")
    page.get_by_label("Note to the provider").fill("Send the pathology report with a new request.")
    record(page)
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "denied")
    response = claim_response(service, case_id)
    assert code_of(response["item"][0]) == "A3"
    assert "1003000126" in str(response["extension"])
    told = " ".join(note["text"] for note in response["processNote"])
    assert "investigational for all other indications" in told
    assert "Send the pathology report" in told


def test_ask_for_information(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    page = sign_in("rita")
    page.goto(f"/review/cases/{case_id}")
    choose(page, "Ask for information")
    page.get_by_label("What should the provider send?").fill("The pathology report of the biopsy.")
    page.get_by_label("As", exact=True).select_option("11526-1")
    record(page)
    expect(page.get_by_role("region", name="Asked of the provider")).to_contain_text("LOINC 11526-1")
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "pended")
    assert code_of(claim_response(service, case_id)["item"][0]) == "A4"
    page.goto("/review")
    expect(page.locator("li.card", has=page.locator(f'a[href$="{case_id}"]'))).to_contain_text(
        "Information asked for"
    )


def test_of_two_reviewers_the_second_is_told(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    first, second = sign_in("rita"), sign_in("cora")
    for page in (first, second):
        page.goto(f"/review/cases/{case_id}")
    choose(second, "Deny")
    second.get_by_label("Specific reason, told to the provider").select_option("other")
    second.get_by_label("Another reason", exact=True).fill("A reason that took long to write.")
    choose(first, "Approve")
    record(first)
    expect(first.locator("[data-status]")).to_have_attribute("data-status", "approved")
    record(second)
    alert = second.get_by_role("alert")
    expect(alert).to_contain_text("The case has changed since you opened it")
    expect(alert).to_contain_text("A reason that took long to write.")
    check(second)
    assert code_of(claim_response(service, case_id)["item"][0]) == "A1"


def test_an_auditor_sees_the_case_and_the_report(sign_in: SignIn, case_id: str) -> None:
    page = sign_in("ada")
    page.goto(f"/review/cases/{case_id}")
    expect(page.get_by_role("main")).to_contain_text("An auditor looks at cases and decides none.")
    expect(page.get_by_role("button", name="Record the decision")).to_have_count(0)
    page.get_by_role("link", name="Report").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert Path(download.value.path()).read_text().startswith("section,figure,count,of,value")


def test_a_document_is_downloaded(sign_in: SignIn, case_id: str) -> None:
    page = sign_in("rita")
    page.goto(f"/review/cases/{case_id}")
    page.get_by_text("Read as text").first.click()
    expect(page.locator("pre").first).to_contain_text("es-sclc: No")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename.endswith("QuestionnaireResponse.json")


def test_the_keyboard_is_enough(sign_in: SignIn, service: httpx.Client, case_id: str) -> None:
    page = sign_in(None)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    _tab_to(page, "#login")
    page.keyboard.type("rita")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for a decision")
    _tab_to(page, f'a[href="/review/cases/{case_id}"]')
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/cases/{case_id}")
    _tab_to(page, 'input[name="verdict-1"]')
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Approve", exact=True)).to_be_checked()
    page.keyboard.press("Enter")
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "approved")
    assert code_of(claim_response(service, case_id)["item"][0]) == "A1"


def _tab_to(page: Page, selector: str) -> None:
    """Presses Tab until it has the focus, which must be to be seen."""
    for _ in range(100):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"the keyboard does not reach {selector}")
