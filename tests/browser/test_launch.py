"""What a launch refuses, what a launch without an order does, and texts that are scripts."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Route

from tests.browser.conftest import User
from tests.browser.patients import HOSTILE
from tests.browser.test_form import opened


def problem(user: User) -> str:
    return str(user.page.locator("#problem").inner_text())


def begin(user: User) -> tuple[str, str]:
    """A launch that stops before the callback: the callback's address, and the authorization's."""
    user.start_over("male")
    user.sign("male")
    callback = re.compile(r"/dtr/callback\?")
    answer = user.context.request.post(f"{user.address}/demo/male/open-app", form={"user": "nurse"}, max_redirects=0)
    launch = user.context.request.get(user.address + answer.headers["location"], max_redirects=0)
    authorize = launch.headers["location"]
    back = user.context.request.get(authorize, max_redirects=0).headers["location"]
    assert callback.search(back)
    return back, authorize


def test_a_launch_asks_with_pkce_state_and_nonce(user: User) -> None:
    _, authorize = begin(user)
    asked = parse_qs(urlsplit(authorize).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 32
    assert len(asked["nonce"][0]) >= 32
    assert {"openid", "fhirUser", "launch"} <= set(asked["scope"][0].split())


def test_another_issuer_is_refused(user: User) -> None:
    user.page.goto(f"{user.address}/dtr/launch?iss=https://elsewhere.example.org/fhir&launch=x")
    assert "not registered" in problem(user)
    assert user.violations() == []


def test_a_wrong_state_is_refused(user: User) -> None:
    back, _ = begin(user)
    user.page.goto(re.sub(r"state=[^&]+", "state=guessed", back))
    assert "not begun in this browser" in problem(user)


def test_a_launch_belongs_to_the_browser_that_began_it(users: Any) -> None:
    back, _ = begin(users())
    other: User = users()
    other.page.goto(back)
    assert "not begun in this browser" in problem(other)


def test_a_code_works_once(users: Any) -> None:
    user: User = users()
    back, _ = begin(user)
    user.page.goto(back)
    user.page.wait_for_selector("html[data-ready]")
    user.page.goto(back)
    assert "not begun in this browser" in problem(user)
    code = parse_qs(urlsplit(back).query)["code"][0]
    second, _ = begin(user)
    user.page.goto(re.sub(r"code=[^&]+", f"code={code}", second))
    assert "The EHR refused the app" in problem(user)


def test_a_form_is_open_to_its_own_browser_only(users: Any) -> None:
    user: User = users()
    opened(user, "male")
    other: User = users()
    other.page.goto(user.page.url)
    assert "Your session here is over" in problem(other)
    answer = user.context.request.post(f"{user.page.url}/check", data={"item": []}, headers={"Accept": "*/*"})
    assert answer.status == 403


def test_without_an_order_the_user_picks_one(user: User) -> None:
    user.start_over("male")
    user.sign("male")
    form: dict[str, str | float | bool] = {"user": "oncologist", "without-order": "yes"}
    answer = user.context.request.post(f"{user.address}/demo/male/open-app", form=form, max_redirects=0)
    user.page.goto(user.address + answer.headers["location"])
    assert user.violations() == []
    user.page.get_by_role("radio").first.check()
    user.page.get_by_role("button", name="Open the form").click()
    user.page.wait_for_selector("html[data-ready]")
    assert user.badges()["es-sclc"] == "Auto-filled"


def test_leaving_ends_the_session(user: User) -> None:
    opened(user, "male")
    url = user.page.url
    user.page.get_by_role("button", name="Leave").click()
    user.page.goto(url)
    assert "Your session here is over" in problem(user)


def test_texts_that_are_scripts_never_run(user: User) -> None:
    def poison(route: Route) -> None:
        answer = route.fetch()
        content = answer.json()
        for group in content["questionnaire"]["item"]:
            group["text"] += HOSTILE
            for item in group["item"]:
                item["text"] += HOSTILE
        route.fulfill(response=answer, body=json.dumps(content))

    user.context.route("**/content", poison)
    opened(user, "hostile")
    page = user.page
    assert "onerror" in page.locator("h1 + dl").inner_text()
    assert "onerror" in page.locator('[id="label-es-sclc/1/1"]').inner_text()
    assert "onerror" in page.locator('[id="item-es-sclc/1/1"] .about').inner_text()
    page.locator('[id="platinum-agent/1/1"]').fill(f"carboplatin {HOSTILE}")
    for link_id in ("step-up-dosing", "neurotoxicity-monitoring"):
        user.answer(link_id, "true")
    user.answer("female-of-reproductive-potential", "false")
    user.send()
    user.decision()
    assert page.evaluate("document.body.dataset.ran") is None
    assert page.locator("img[src=x]").count() == 0
