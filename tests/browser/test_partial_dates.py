"""A date that the chart knows by its month: it stays as it is until somebody completes it, or leaves it out."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import User
from tests.browser.patients import MONTH
from tests.browser.test_drafts import save
from tests.browser.test_form import THREE, opened


def date_in(items: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The answer to when the platinum began."""
    for item in items:
        if item["linkId"] == "platinum-start" and item.get("answer"):
            found: dict[str, Any] = item["answer"][0]
            return found
        if (inner := date_in(item.get("item", []))) is not None:
            return inner
    return None


def test_a_date_without_its_day_stays_through_draft_and_request(user: User) -> None:
    opened(user, "partial")
    about = user.page.locator('[id="item-platinum-start/1/1"] .about').inner_text()
    assert f"The record says {MONTH}, and so will the request." in about
    assert user.violations() == []
    user.answer("step-up-dosing", "true")
    save(user)
    (draft,) = user.saved("partial")
    held = date_in(draft["item"])
    assert held is not None
    assert held["valueDate"] == MONTH
    assert "auto-client" in str(held["extension"])
    user.launch("partial", "nurse")
    for link_id, answer in THREE.items():
        if link_id != "step-up-dosing":
            user.answer(link_id, answer)
    user.send()
    assert user.decision() in {"approved", "pended"}
    (sent,) = user.saved("partial")
    assert sent["status"] == "completed"
    assert date_in(sent["item"]) == held


def test_a_day_that_is_typed_takes_its_place(user: User) -> None:
    opened(user, "partial")
    field = user.page.locator('[id="platinum-start/1/1"] input')
    field.click()
    with user.page.expect_response("**/check"):
        field.fill("05/12/2025")
        field.press("Tab")
    save(user)
    (draft,) = user.saved("partial")
    held = date_in(draft["item"])
    assert held is not None
    assert held["valueDate"] == "2025-05-12"
    assert "override" in str(held["extension"])


def test_it_may_be_left_out_and_taken_back(user: User) -> None:
    opened(user, "partial")
    button = user.page.get_by_role("button", name=f"Leave {MONTH} out")
    for pressed in ("true", "false", "true"):
        with user.page.expect_response("**/check"):
            button.click()
        assert button.get_attribute("aria-pressed") == pressed
    assert user.violations() == []
    save(user)
    (draft,) = user.saved("partial")
    assert date_in(draft["item"]) is None
