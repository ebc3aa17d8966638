"""Documents in a draft: kept in the EHR, taken up by a colleague, and what was removed stays removed."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import User
from tests.browser.test_drafts import save
from tests.browser.test_form import opened

REPORT = {"name": "ct.txt", "mimeType": "text/plain", "buffer": b"Grown since May."}
LETTER = {"name": "letter.txt", "mimeType": "text/plain", "buffer": b"Dear colleague."}


def upload(user: User, file: Any) -> None:
    user.page.set_input_files("#file", file)
    with user.page.expect_response("**/add-file"):
        user.page.get_by_role("button", name="Add the file").click()
    user.page.get_by_role("button", name=f"Remove {file['name']}").wait_for()


def going(user: User) -> list[str]:
    """The titles of what goes with the request."""
    buttons = user.page.locator("#documents [data-remove]").all()
    return [str(button.get_attribute("aria-label")).removeprefix("Remove ") for button in buttons]


def documents(user: User, patient: str) -> dict[str, str]:
    """Title and status of each DocumentReference of the patient in the EHR."""
    found = user.context.request.get(f"{user.address}/demo/fhir/DocumentReference?patient={patient}").json()
    return {e["resource"]["description"]: e["resource"]["status"] for e in found.get("entry", ())}


def test_documents_of_a_draft_are_there_for_a_colleague_and_removed_ones_are_not(users: Any) -> None:
    doctor: User = users()
    opened(doctor, "male")
    upload(doctor, REPORT)
    upload(doctor, LETTER)
    assert save(doctor).startswith("Saved in the EHR")
    assert documents(doctor, "male") | {"ct.txt": "current", "letter.txt": "current"} == documents(doctor, "male")
    (draft,) = doctor.saved("male")
    assert "contained" not in draft
    with doctor.page.expect_response("**/remove-document"):
        doctor.page.get_by_role("button", name="Remove letter.txt").click()
    assert save(doctor).startswith("Saved in the EHR")
    assert documents(doctor, "male")["letter.txt"] == "entered-in-error"
    nurse: User = users()
    nurse.launch("male", "nurse")
    assert going(nurse) == ["ct.txt"]
    assert nurse.page.locator("#documents").is_visible()
    assert nurse.violations() == []
    assert "letter.txt" not in nurse.page.locator("#documents").inner_text()
    for link_id in ("step-up-dosing", "neurotoxicity-monitoring"):
        nurse.answer(link_id, "true")
    requests: list[Any] = []
    nurse.page.on("request", lambda request: requests.append(request.url))
    nurse.send()
    assert nurse.decision() == "approved"
    assert documents(nurse, "male")["ct.txt"] == "current"
