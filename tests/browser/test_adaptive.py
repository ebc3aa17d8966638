"""The adaptive form in the app: a few questions at a time, in the policy's order, to the decision."""

from __future__ import annotations

from tests.browser.conftest import User
from tests.browser.launching import launch_again, launch_with
from tests.browser.test_drafts import save

FORM = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial-adaptive"


def adaptive(user: User, story: str) -> None:
    launch_with(user, story, questionnaire=FORM)
    user.page.wait_for_selector("html[data-ready]", timeout=20_000)


def on_screen(user: User) -> list[str]:
    """The linkIds of the questions, in their order."""
    found = user.page.locator("#form .about:visible").all()
    return [str(each.get_attribute("id")).removeprefix("about-item-").partition("/")[0] for each in found]


def next_questions(user: User) -> None:
    with user.page.expect_navigation():
        user.page.get_by_role("button", name="Next questions").click()
    user.page.wait_for_selector("html[data-ready]")


def test_questions_come_a_few_at_a_time_and_lead_to_the_decision(user: User) -> None:
    adaptive(user, "empty")
    given: set[str] = set()
    seen = on_screen(user)
    assert 0 < len(seen) <= 4
    assert user.violations() == []
    assert user.page.get_by_role("button", name="Send the request").count() == 0
    user.page.get_by_role("button", name="Next questions").click()
    user.page.locator("#summary").get_by_role("heading").wait_for()
    assert user.violations() == []
    while user.page.get_by_role("button", name="Next questions").count():
        answer_what_is_open(user, given)
        answer_what_is_open(user, given)
        seen = on_screen(user)
        next_questions(user)
        now = on_screen(user)
        assert now[: len(seen)] == seen
        assert 0 < len(now) - len(seen) <= 4
        focused = user.page.evaluate("document.activeElement.closest('lhc-item')?.id")
        assert focused == f"item-{now[len(seen)]}/1/1"
        assert user.violations() == []
    answer_what_is_open(user, given)
    answer_what_is_open(user, given)
    user.send()
    assert user.decision() in {"approved", "pended"}
    (response,) = user.saved("empty")
    assert (response["status"], response["questionnaire"][0]) == ("completed", "#")
    (form,) = response["contained"]
    assert form["derivedFrom"][0].partition("|")[0] == FORM


def answer_what_is_open(user: User, given: set[str]) -> None:
    """Yes to every yes-or-no question that has no answer, and a day where one is asked; what these ask is next."""
    there = [link_id for link_id in on_screen(user) if link_id not in given and link_id not in user.badges()]
    for link_id in there:
        given.add(link_id)
        if user.page.locator(f'[id="{link_id}/1/1|true"]').count():
            user.answer(link_id, "true")
        day = user.page.locator(f'[id="{link_id}/1/1"] input:visible')
        if link_id.endswith("-date") and day.count():
            day.click()
            with user.page.expect_response("**/check"):
                day.fill("05/12/2026")
                day.press("Tab")


def test_what_the_records_answer_is_passed_and_a_complete_chart_is_one_page(user: User) -> None:
    adaptive(user, "male")
    assert user.badges()["es-sclc"] == "Auto-filled"
    for link_id in ("step-up-dosing", "neurotoxicity-monitoring"):
        user.answer(link_id, "true")
    user.send()
    assert user.decision() == "approved"


def test_a_draft_of_an_adaptive_form_is_taken_up_where_it_was_left(user: User) -> None:
    adaptive(user, "empty")
    user.answer("es-sclc", "true")
    next_questions(user)
    there = on_screen(user)
    assert save(user).startswith("Saved in the EHR")
    (draft,) = user.saved("empty")
    assert draft["questionnaire"].startswith("#")
    asked = resumed(user, "empty")
    assert on_screen(user) == there
    assert "saved in the EHR" in asked
    assert user.criteria()["es-sclc"] == "met"


def resumed(user: User, story: str) -> str:
    """Opens the app once more, without starting over; the notice."""
    launch_again(user, story, questionnaire=FORM)
    user.page.wait_for_selector("html[data-ready]", timeout=20_000)
    return str(user.page.locator(".notice").first.inner_text())
