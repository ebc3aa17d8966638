"""Drafts in the EHR: saved, taken up by a colleague, kept from being overwritten."""

from __future__ import annotations

from typing import Any

from service.dtr.app.stamping import origins
from tests.browser.conftest import User
from tests.browser.test_form import opened


def save(user: User) -> str:
    user.page.get_by_role("button", name="Save as draft").click()
    message = user.page.locator("#message")
    message.filter(has_not_text="One moment.").filter(has_text=".").wait_for()
    return message.inner_text()


def test_a_colleague_goes_on_with_a_draft_and_what_was_removed_stays_removed(users: Any) -> None:
    doctor: User = users()
    opened(doctor, "male")
    doctor.answer("step-up-dosing", "true")
    doctor.answer("progression-on-platinum", "null")
    assert save(doctor).startswith("Saved in the EHR")
    (draft,) = doctor.saved("male")
    assert (draft["status"], draft["author"]["reference"]) == ("in-progress", "Practitioner/oncologist")
    assert "progression-on-platinum" not in origins(draft["item"])
    nurse: User = users()
    nurse.launch("male", "nurse")
    assert "Dr. Amara Okafor saved in the EHR" in nurse.page.locator(".notice").inner_text()
    assert nurse.violations() == []
    assert nurse.criteria()["step-up-dosing"] == "met"
    assert nurse.criteria()["progression-on-platinum"] == "open"
    assert "progression-on-platinum" not in nurse.badges()
    nurse.answer("progression-on-platinum", "true")
    nurse.answer("neurotoxicity-monitoring", "true")
    nurse.send()
    assert nurse.decision() == "approved"
    (sent,) = nurse.saved("male")
    assert (sent["id"], sent["status"], sent["author"]["reference"]) == (
        draft["id"],
        "completed",
        "Practitioner/nurse",
    )
    assert authors(sent["item"]) == {
        "step-up-dosing": "Practitioner/oncologist",
        "progression-on-platinum": "Practitioner/nurse",
        "neurotoxicity-monitoring": "Practitioner/nurse",
    }


def authors(items: list[dict[str, Any]]) -> dict[str, str]:
    """Who gave each answer that a person gave."""
    found: dict[str, str] = {}
    for item in items:
        for answer in item.get("answer", ()):
            for part in answer["extension"][0]["extension"]:
                if part["url"] == "author":
                    found[item["linkId"]] = part["extension"][0]["valueReference"]["reference"]
        found |= authors(item.get("item", []))
    return found


def test_a_draft_that_somebody_else_saved_meanwhile_is_not_overwritten(users: Any) -> None:
    first: User = users()
    opened(first, "second")
    first.answer("step-up-dosing", "true")
    save(first)
    other: User = users()
    other.launch("second", "nurse")
    other.answer("neurotoxicity-monitoring", "true")
    assert save(other).startswith("Saved")
    first.answer("step-up-dosing", "false")
    assert save(first) == "Somebody else has saved this in the EHR since you opened it."
