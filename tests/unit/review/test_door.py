"""Signing in and staying signed in: attempts, sessions, cookies, form tokens, headers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from service.errors import BusinessRule
from service.review.passwords import Passwords
from service.review.sessions import ATTEMPTS_PER_ACCOUNT, ATTEMPTS_PER_ADDRESS, IDLE, LONGEST
from service.settings import Settings
from tests.unit.review.conftest import HASHER, NOW, PASSWORD, Console, Form, send, sign_in, submit

CLOSED = ["/review", "/review/report", "/review/report.csv", "/review/cases/any", "/review/cases/any/documents/1"]


@pytest.mark.parametrize("path", CLOSED)
async def test_nothing_is_shown_to_somebody_unknown(console: Console, path: str) -> None:
    async with console.browser() as browser:
        answer = await browser.get(path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/review/sign-in")


async def test_a_wrong_password_and_an_unknown_account_are_refused_alike(console: Console) -> None:
    async with console.browser() as browser:
        wrong = await sign_in(browser, "rita", "not the password")
        unknown = await sign_in(browser, "ghost", "not the password")
        assert (wrong.status_code, unknown.status_code) == (401, 401)
        said = "Account and password do not belong together."
        assert said in wrong.text
        assert said in unknown.text
        assert (await browser.get("/review")).status_code == 303


async def test_a_disabled_account_opens_nothing_even_while_signed_in(console: Console) -> None:
    async with console.browser("rita") as browser:
        account = await console.reviewers.account("rita")
        assert account is not None
        await console.reviewers.save_account(replace(account, disabled_at=NOW))
        assert (await browser.get("/review")).status_code == 303
        assert (await sign_in(browser, "rita")).status_code == 401


async def test_guesses_for_one_account_are_limited_whoever_makes_them(console: Console) -> None:
    async with console.browser() as browser:
        for _ in range(ATTEMPTS_PER_ACCOUNT):
            assert (await sign_in(browser, "rita", "a wrong password")).status_code == 401
        assert (await sign_in(browser, "rita")).status_code == 429
        assert (await sign_in(browser, "rob")).status_code == 303
        console.clock.advance(timedelta(minutes=15, seconds=1))
        assert (await sign_in(browser, "rita")).status_code == 303


async def test_guesses_from_one_address_are_limited_over_accounts(console: Console) -> None:
    async with console.browser() as browser:
        for number in range(ATTEMPTS_PER_ADDRESS):
            assert (await sign_in(browser, f"account-{number}", "a wrong password")).status_code == 401
        assert (await sign_in(browser, "rita")).status_code == 429


async def test_a_session_ends_when_it_is_not_used(console: Console) -> None:
    async with console.browser("rita") as browser:
        console.clock.advance(IDLE - timedelta(seconds=1))
        assert (await browser.get("/review")).status_code == 200
        console.clock.advance(IDLE - timedelta(minutes=1))
        assert (await browser.get("/review")).status_code == 200
        console.clock.advance(IDLE)
        assert (await browser.get("/review")).status_code == 303


async def test_a_session_ends_after_ten_hours_of_use(console: Console) -> None:
    async with console.browser("rita") as browser:
        for _ in range(LONGEST // IDLE * 2 - 1):
            console.clock.advance(IDLE / 2)
            assert (await browser.get("/review")).status_code == 200
        console.clock.advance(IDLE / 2)
        assert (await browser.get("/review")).status_code == 303


async def test_signing_out_ends_the_session_on_the_server(console: Console) -> None:
    async with console.browser("rita") as browser:
        secret = browser.cookies["review"]
        page = Form((await browser.get("/review")).text)
        assert (await submit(browser, page, "/review/sign-out")).status_code == 303
        browser.cookies.clear()
        assert (await browser.get("/review", headers={"cookie": f"review={secret}"})).status_code == 303


async def test_the_cookie_is_kept_from_scripts_and_other_sites(console: Console) -> None:
    async with console.browser() as browser:
        cookie = (await sign_in(browser, "rita")).headers["set-cookie"]
    assert cookie.startswith("review=")
    for part in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert part in cookie


async def test_under_https_the_cookie_is_bound_to_the_host(console: Console) -> None:
    secure = Console(console.rules, settings=Settings(public_url="https://pa.payer.example"))
    await secure.add_people()
    async with secure.browser() as browser:
        cookie = (await sign_in(browser, "rita")).headers["set-cookie"]
        assert cookie.startswith("__Host-review=")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert (await browser.get("/review")).status_code == 200


async def test_what_is_stored_of_a_session_does_not_open_it(console: Console) -> None:
    async with console.browser("rita") as browser:
        secret = browser.cookies["review"]
        (digest,) = console.reviewers._sessions
        assert secret not in digest
        browser.cookies.clear()
        assert (await browser.get("/review", headers={"cookie": f"review={digest}"})).status_code == 303


@pytest.mark.parametrize("token", ["", "0" * 64])
async def test_a_form_without_its_token_changes_nothing(console: Console, token: str) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        for action in ("claim", "take-over", "release", "decide"):
            address = f"/review/cases/{case.id}/{action}"
            fields = {"form-token": token, "verdict-1": "approve", "revision": "1"}
            assert (await browser.post(address, data=fields)).status_code == 403
        assert (await browser.post("/review/sign-out", data={"form-token": token})).status_code == 403
        assert (await browser.get("/review")).status_code == 200
    assert await console.case(case.id) == case


async def test_the_token_of_another_session_is_none(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as rita, console.browser("rob") as rob:
        page = Form((await rob.get(f"/review/cases/{case.id}")).text)
        assert (await submit(rita, page, f"/review/cases/{case.id}/claim")).status_code == 403


async def test_the_sign_in_form_has_a_token_too(console: Console) -> None:
    async with console.browser() as browser:
        answer = await browser.post("/review/sign-in", data={"login": "rita", "password": PASSWORD})
    assert answer.status_code == 403


async def test_a_form_that_the_browser_says_is_another_sites_is_refused(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        browser.headers["sec-fetch-site"] = "cross-site"
        assert (await send(browser, case.id, "claim")).status_code == 403


async def test_every_page_forbids_scripts_frames_and_caches(console: Console) -> None:
    async with console.browser("rita") as browser:
        for path in (
            "/review",
            "/review/report",
            "/review/sign-in",
            "/review/static/review.css",
            "/review/cases/none",
        ):
            headers = (await browser.get(path)).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"


async def test_what_is_posted_may_be_anything(console: Console) -> None:
    async with console.browser("rita") as browser:
        for body in (b"\xff\xfe", b"&".join(b"a=1" for _ in range(600)), b""):
            assert (await browser.post("/review/sign-out", content=body)).status_code in (400, 403)


def test_a_password_has_twelve_characters_and_is_kept_as_an_argon2id_hash() -> None:
    passwords = Passwords(HASHER)
    with pytest.raises(BusinessRule):
        passwords.hash("only eleven")
    with pytest.raises(BusinessRule):
        passwords.hash("x" * 257)
    made = Passwords().hash(PASSWORD)
    assert made.startswith("$argon2id$")
    assert PASSWORD not in made


async def test_only_the_right_password_matches() -> None:
    passwords = Passwords(HASHER)
    made = passwords.hash(PASSWORD)
    assert await passwords.match(made, PASSWORD)
    assert not await passwords.match(made, PASSWORD + "!")
    assert not await passwords.match(None, "nobody's password")
    assert not await passwords.match("not a hash", PASSWORD)
