"""Stories in which people act: a reviewer decides at the console, a clinician answers in the SMART app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import httpx

from conformance.recording import Json
from service.policy.decision import Clinician
from service.policy.reviewer import Account, Person, Role
from service.review.passwords import Passwords
from service.store.sql import SqlStore
from tests.unit.review.conftest import send, sign_in

# What a reviewer decides about line 1, by the fields of the case page.
VERDICTS: Final[tuple[Mapping[str, str], ...]] = (
    {"verdict_1": "approve"},
    {"verdict_1": "modify", "units_1": "20", "change_reason_1": "Two cycles first.",
     "from_1": "2026-12-08", "to_1": "2027-02-28"},
    {"verdict_1": "deny", "reason_1": "other", "reason_text_1": "The cancer is not small cell lung cancer."},
    {"verdict_1": "ask", "question_1": "The pathology report, please.", "kind_1": "11526-1"},
    {"verdict_1": "ask", "question_1": "The open question of the form.", "kind_1": "form"},
)  # fmt: skip
_CLINICIAN: Final = Clinician("Cora Clinician", "1003000126", "207RH0003X")
_PASSWORD: Final = "correct horse battery staple"  # noqa: S105 - of an account that lives as long as the stories
_VISIT: Final = re.compile(r'data-visit="(?P<visit>[^"]+)" data-csrf="(?P<csrf>[^"]+)"')


async def reviewed(http: httpx.AsyncClient, store: SqlStore, case_id: str, verdict: Mapping[str, str]) -> None:
    """A clinician's decision about a case that waits. AssertionError when the console refuses it."""
    login = "cora"
    if await store.reviewers().account(login) is None:
        person = Person(login, _CLINICIAN.name, Role.CLINICIAN, _CLINICIAN)
        await store.reviewers().save_account(Account(person, Passwords().hash(_PASSWORD)))
        await sign_in(http, login, _PASSWORD)
    answer = await send(http, case_id, "decide", **verdict)
    assert answer.status_code == 200, answer.text


async def in_the_app(http: httpx.AsyncClient, story: str, answers: Mapping[str, str]) -> None:
    """Order, launch, a draft and the request; `answers` as a person gives them, by linkId."""
    page = (await http.get(f"/demo/{story}")).text
    await http.post(f"/demo/{story}/start-over", data={"guides": "2.2.1"})
    await http.post(f"/demo/{story}/sign")
    page = (await http.post(f"/demo/{story}/open-app", data={"user": "oncologist"})).text
    found = _VISIT.search(page)
    assert found is not None, page
    content = (await http.get(f"{found['visit']}/content")).json()
    posted = {"item": _items(content["questionnaire"], content["response"], answers)}
    headers = {"X-CSRF-Token": found["csrf"]}
    for step in ("draft", "submit"):
        answer = await http.post(f"{found['visit']}/{step}", json={**posted, "incomplete": True}, headers=headers)
        assert answer.status_code == 200, answer.text


def _items(form: Json, response: Json, answers: Mapping[str, str]) -> list[Json]:
    """The form's items with what stands in the response, and over it what a person answers (yes or no)."""
    held = {item["linkId"]: item for item in response.get("item", ())}
    made = []
    for item in form.get("item", ()):
        standing = held.get(item["linkId"], {"linkId": item["linkId"]})
        if item["type"] == "group":
            made.append({"linkId": item["linkId"], "item": _items(item, standing, answers)})
        elif text := answers.get(item["linkId"]):
            made.append({"linkId": item["linkId"], "answer": [{"valueBoolean": text == "true"}]})
        elif standing.get("answer"):
            made.append(standing)
    return [item for item in made if item.get("item") != []]
