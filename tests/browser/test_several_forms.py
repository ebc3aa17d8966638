"""An order that has several forms: the user picks one, and fills it."""

from __future__ import annotations

from tests.browser.conftest import User
from tests.browser.launching import launch_with


def test_of_several_forms_the_user_picks_one(user: User) -> None:
    launch_with(user, "two-forms")
    choices = user.page.get_by_role("radio")
    assert choices.count() == 2
    assert user.violations() == []
    user.page.set_viewport_size({"width": 390, "height": 844})
    assert user.page.evaluate("document.documentElement.scrollWidth") <= 390
    labels = user.page.locator("label").all_inner_texts()
    assert len(set(labels)) == 2
    choices.nth(1).check()
    user.page.get_by_role("button", name="Open the form").click()
    user.page.wait_for_selector("html[data-ready]")
    assert user.page.locator("main > h1").inner_text() == labels[1]
    assert user.asked() > 0
    assert user.violations() == []


def test_a_form_that_the_launch_names_is_not_asked_for_again(user: User) -> None:
    launch_with(user, "two-forms", questionnaire="https://payer.example.org/fhir/Questionnaire/imdelltra-initial")
    user.page.wait_for_selector("html[data-ready]")
    assert user.badges()["es-sclc"] == "Auto-filled"
