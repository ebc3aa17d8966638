"""The whole way from order to decision, with documents and the reviewers; what each demo patient's form takes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from service.catalog.registry import HOME
from service.demo.stories import load_stories
from tests.browser.conftest import Shot, User
from tests.browser.test_form import opened

PASSWORD = "a long enough password"
STORIES = {story.id: story for story in load_stories()}
COMPLETE = {"approves-at-once", "male"}
WINDOW = {"width": 1024, "height": 720}
PDF = b"%PDF-1.4\n%%EOF\n"


def message(page: Page) -> str:
    told = page.locator("#message")
    told.filter(has_not_text="One moment.").filter(has_text=".").wait_for()
    return str(told.inner_text())


def top(place: Locator) -> Page:
    """The page with something of it at the top of the window."""
    place.evaluate("element => element.scrollIntoView({ block: 'start' })")
    return place.page


def test_from_order_to_a_reviewer_and_back(users: Callable[..., User], folder: Path, shot: Shot) -> None:
    user = users(viewport=WINDOW)
    user.start_over("missing-progression")
    user.page.goto(f"{user.address}/demo/missing-progression")
    shot(user.page, "1-order")
    user.sign("missing-progression")
    shot(user.page, "2-signed")
    user.launch("missing-progression")
    shot(user.page, "3-form")
    user.answer("step-up-dosing", "true")
    user.answer("neurotoxicity-monitoring", "true")
    _add_documents(user, shot)
    user.send()
    shot(user.page, "5-still-open")
    user.page.get_by_role("button", name="Send without these answers").click()
    assert user.decision() == "pended"
    assert user.violations() == []
    shot(top(user.page.locator("#decision")), "6-held")
    _review(users(viewport=WINDOW), folder, shot)


def _add_documents(user: User, shot: Shot) -> None:
    """A record of the chart and a file; what is no document is refused, and one may be taken back."""
    page = user.page
    page.locator("#criteria [data-criterion=progression-on-platinum]").get_by_role("link").click()
    page.get_by_role("button", name="Add CT of the chest, report").click()
    assert message(page) == "Added: it goes with the request."
    assert page.evaluate("document.activeElement.id") == "documents-title"
    page.locator("#file").set_input_files(
        {"name": "scan.pdf", "mimeType": "application/pdf", "buffer": b"MZ\x00\x01"}
    )
    page.get_by_role("button", name="Add the file").click()
    assert "no PDF, JPEG, PNG or plain text" in message(page)
    for name in ("pathology.pdf", "by-mistake.pdf"):
        page.locator("#file").set_input_files({"name": name, "mimeType": "application/pdf", "buffer": PDF})
        page.get_by_role("button", name="Add the file").click()
        page.get_by_role("button", name=f"Remove {name}").wait_for()
    page.get_by_role("button", name="Remove by-mistake.pdf").click()
    page.get_by_role("button", name="Remove by-mistake.pdf").wait_for(state="detached")
    assert user.violations() == []
    shot(top(page.locator("#documents")), "4-documents")


def _review(reviewer: User, folder: Path, shot: Shot) -> None:
    """A reviewer finds the case with its documents and approves it."""
    command = [sys.executable, "-m", "service", "reviewer", "add", "rita", "--name", "Rita Reviewer"]
    subprocess.run([*command, "--data", str(folder)], input=f"{PASSWORD}\n", text=True, check=True, cwd=HOME)
    page = reviewer.page
    page.goto(f"{reviewer.address}/review/sign-in")
    page.get_by_label("Account").fill("rita")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Waiting for a decision")
    shot(page, "7-worklist")
    # What waits longest stands first: this request is the newest.
    page.locator('main a[href*="/review/cases/"]').last.click()
    main = page.get_by_role("main")
    expect(main).to_contain_text("CT of the chest, report")
    expect(main).to_contain_text("pathology.pdf")
    shot(page, "8-case")
    page.get_by_role("button", name="Claim it").click()
    page.get_by_role("group", name="Your decision on line 1").get_by_label("Approve", exact=True).check()
    page.get_by_role("button", name="Record the decision").click()
    expect(page.locator("[data-status]")).to_have_attribute("data-status", "approved")


def test_leaving_is_accessible(user: User) -> None:
    opened(user, "male")
    user.page.get_by_role("button", name="Leave").click()
    expect(user.page.get_by_role("heading", level=1)).to_have_text("You have left the form")
    assert user.violations() == []


@pytest.mark.parametrize("story", STORIES)
def test_what_a_form_takes(
    users: Callable[..., User], story: str, record_property: Callable[[str, object], None], shot: Shot
) -> None:
    user = users(viewport=WINDOW)
    opened(user, story)
    found = user.badges()
    given = 0
    for link_id, said in STORIES[story].answers.items():
        shown = user.page.locator(f'[id^="item-{link_id}/"]').count() > 0
        if shown and link_id not in found and re.fullmatch("yes|no", said):
            user.answer(link_id, "true" if said == "yes" else "false")
            given += 1
    asked = user.asked()
    user.send()
    incomplete = user.page.get_by_role("button", name="Send without these answers")
    if incomplete.is_visible():
        with user.page.expect_response("**/submit"):
            user.click(incomplete)
    decision = user.decision()
    record_property("form", (story, asked, len(found), asked - len(found), user.clicks, decision))
    if story in COMPLETE:
        assert (decision, asked) == ("approved", len(found) + given)
        assert given <= 3
        if story == "approves-at-once":
            shot(top(user.page.locator("#decision")), "9-approved")
        assert user.clicks <= 6
