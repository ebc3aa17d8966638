"""The form in a real browser, from launch to decision."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Route

from service.dtr.app.stamping import origins
from tests.browser.conftest import User

THREE = {"step-up-dosing": "true", "neurotoxicity-monitoring": "true", "female-of-reproductive-potential": "false"}
FILLED = {
    "birth-date",
    "es-sclc",
    "platinum-agent",
    "platinum-start",
    "progression-on-platinum",
    "progression-date",
}


def opened(user: User, story: str) -> None:
    user.start_over(story)
    user.sign(story)
    user.launch(story)


def test_a_complete_chart_takes_three_answers_to_approval(user: User) -> None:
    opened(user, "approves-at-once")
    assert user.violations() == []
    assert user.badges() == dict.fromkeys(FILLED, "Auto-filled")
    assert user.criteria() == {
        "age": "met",
        "es-sclc": "met",
        "progression-on-platinum": "met",
        "step-up-dosing": "open",
        "neurotoxicity-monitoring": "open",
        "contraception": "open",
    }
    for link_id, answer in THREE.items():
        user.answer(link_id, answer)
    assert set(user.criteria().values()) == {"met"}
    user.send()
    assert user.decision() == "approved"
    assert user.page.locator("#authorization-number").inner_text().startswith("PA")
    assert user.clicks <= 6
    assert user.violations() == []
    print(f"complete chart: 9 questions, 6 from the chart, 3 answers, {user.clicks} clicks from launch to decision")
    assert user.page.get_by_role("button", name="Send the request").is_disabled()
    user.page.get_by_role("link", name="Patient:").hover()
    assert user.violations() == []
    (response,) = user.saved("approves-at-once")
    assert response["status"] == "completed"
    assert origins(response["item"]) == dict.fromkeys(FILLED, "auto-client") | dict.fromkeys(THREE, "manual")
    order = user.context.request.get(f"{user.address}/demo/fhir/MedicationRequest/approves-at-once-order").text()
    assert '"satisfied-pa-id"' in order


def test_a_page_that_is_loaded_again_still_shows_the_decision(user: User) -> None:
    opened(user, "male")
    for link_id in ("step-up-dosing", "neurotoxicity-monitoring"):
        user.answer(link_id, "true")
    user.send()
    number = user.page.locator("#authorization-number").inner_text()
    user.page.reload()
    user.page.wait_for_selector("html[data-ready]")
    assert user.page.locator("#authorization-number").inner_text() == number
    assert user.page.get_by_role("button", name="Send the request").is_disabled()
    assert user.violations() == []


def test_tokens_never_reach_the_browser(user: User) -> None:
    opened(user, "male")
    assert user.page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    cookies = [c for c in user.context.cookies() if c["name"] == "dtr"]
    assert [(c["httpOnly"], c["sameSite"]) for c in cookies] == [(True, "Lax")]
    assert "access_token" not in user.page.content()


def test_each_question_says_why_it_is_asked_and_where_its_answer_came_from(user: User) -> None:
    opened(user, "male")
    about = user.page.locator('[id="item-es-sclc/1/1"] .about')
    assert "5.21.223 p.2" in about.inner_text()
    record = about.get_by_role("link").first.get_attribute("href")
    assert record is not None
    assert user.context.request.get(record).json()["resourceType"] == "Condition"
    group = user.page.locator('[id="item-es-sclc/1/1"] [role=radiogroup]')
    assert group.get_attribute("aria-describedby") == about.get_attribute("id")


def test_an_empty_chart_leaves_every_question_but_the_date_of_birth(user: User) -> None:
    opened(user, "empty")
    assert set(user.badges()) == {"birth-date"}
    assert user.criteria()["es-sclc"] == "open"
    user.send()
    summary = user.page.locator("#summary")
    assert summary.get_by_role("heading").inner_text() == "5 questions need your attention"
    assert user.violations() == []
    user.page.get_by_role("button", name="Send without these answers").click()
    assert user.decision() == "pended"
    assert "Extensive-stage small cell lung cancer" in user.page.locator("#decision").inner_text()


def test_what_is_added_while_the_payer_reviews_goes_to_the_same_request(user: User) -> None:
    opened(user, "missing-progression")
    for link_id, answer in (("step-up-dosing", "true"), ("neurotoxicity-monitoring", "true")):
        user.answer(link_id, answer)
    user.send()
    user.page.get_by_role("button", name="Send without these answers").click()
    assert user.decision() == "pended"
    number = str(user.page.locator("#case-number").inner_text())
    user.answer("step-up-dosing", "null")
    user.page.locator("#decision").evaluate("shown => { shown.textContent = '' }")
    user.send()
    user.page.get_by_role("button", name="Send without these answers").click()
    assert user.decision() == "pended"
    assert user.page.locator("#case-number").inner_text() == number


@pytest.mark.parametrize("broken", ["abort", "proxy"])
def test_a_server_that_cannot_be_reached_is_said_in_plain_words_and_nothing_is_lost(user: User, broken: str) -> None:
    opened(user, "male")
    user.answer("step-up-dosing", "true")
    page = "<html>502 Bad Gateway</html>"
    there = user.page.locator('[id="step-up-dosing/1/1|true"]')

    def fail(route: Route) -> None:
        route.abort() if broken == "abort" else route.fulfill(status=502, content_type="text/html", body=page)

    user.context.route("**/draft", fail)
    user.page.get_by_role("button", name="Save as draft").click()
    user.page.locator("#message", has_text="could not be reached. Your answers are still on this page").wait_for()
    assert there.locator("input").is_checked()
    user.context.unroute("**/draft", fail)
    user.page.get_by_role("button", name="Save as draft").click()
    user.page.locator("#message", has_text="Saved in the EHR").wait_for()


def test_records_that_disagree_are_left_to_the_user(user: User) -> None:
    opened(user, "conflict")
    assert "es-sclc" not in user.badges()
    assert user.criteria()["es-sclc"] == "open"
    about = user.page.locator('[id="item-es-sclc/1/1"] .about').inner_text()
    assert "Extensive-stage small cell lung cancer" in about
    assert "Small cell carcinoma of lung, stage 3" in about
    assert "The records do not settle this. Please answer." in about
    assert user.violations() == []


def test_an_answer_that_is_changed_is_an_override_and_back_again_it_is_not(user: User) -> None:
    opened(user, "male")
    user.answer("es-sclc", "false")
    assert user.badges()["es-sclc"] == "Edited from record"
    assert user.criteria()["es-sclc"] == "not met"
    user.answer("es-sclc", "true")
    assert user.badges()["es-sclc"] == "Auto-filled"


def test_errors_lead_to_their_questions(user: User) -> None:
    opened(user, "male")
    user.send()
    summary = user.page.locator("#summary")
    assert summary.get_attribute("role") == "alert"
    assert user.page.evaluate("document.activeElement.id") == "summary"
    summary.get_by_role("link").first.click()
    focused = user.page.evaluate("document.activeElement.closest('lhc-item').id")
    assert focused == "item-step-up-dosing/1/1"
    assert user.page.title().startswith("Please check")


def test_the_form_on_a_phone(users: Any) -> None:
    phone = users(viewport={"width": 390, "height": 844})
    opened(phone, "male")
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.violations() == []
    phone.send()
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.violations() == []


def test_with_the_keyboard_alone(user: User) -> None:
    """Tab reaches every open question and the button, arrows and Space choose."""
    opened(user, "second")
    page = user.page
    arrows = {link_id: "ArrowLeft" if answer == "false" else "ArrowRight" for link_id, answer in THREE.items()}
    page.locator("h1").click()
    reached = ""
    for _ in range(40):
        page.keyboard.press("Tab")
        reached = page.evaluate(
            "() => { const e = document.activeElement; return e.id || e.closest('label')?.id || ''; }"
        )
        arrow = arrows.pop(reached.partition("/")[0], None)
        if arrow is not None:
            # Where nothing is chosen yet the group is entered at its last answer, "Not Answered".
            with page.expect_response("**/check"):
                page.keyboard.press(arrow)
        if reached == "send":
            break
    assert (reached, arrows) == ("send", {})
    page.keyboard.press("Enter")
    assert user.decision() == "approved"
    assert page.evaluate("document.activeElement.id") == "decision"


@pytest.mark.parametrize("answers", [("false", "not met"), ("null", "open")], ids=["no", "taken back"])
def test_the_list_of_criteria_follows_the_answers(user: User, answers: tuple[str, str]) -> None:
    opened(user, "male")
    user.answer("step-up-dosing", "true")
    assert user.criteria()["step-up-dosing"] == "met"
    user.answer("step-up-dosing", answers[0])
    assert user.criteria()["step-up-dosing"] == answers[1]
