"""The app's pages over HTTP: who may frame them, their cookies under https, picking a form, adding documents."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI

from service.dtr.app.desk import Desk, Surroundings
from service.dtr.app.keeping import SealedCodec
from service.dtr.app.prior import Requests
from service.dtr.app.routes import AppDependencies, build
from service.dtr.app.sealing import passing_sealer
from service.dtr.app.sessions import Sessions, Visit
from service.ehr.address import Reach
from service.ehr.issuers import Issuer, registrations
from service.ehr.smart import SmartLaunch
from service.ehr.writing import WritingEhr
from service.settings import Settings
from service.store.app_sessions import MemoryAppSessions
from tests.doubles import CountingIds, FrozenClock
from tests.unit.dtr_app.clinic import ORDER, PATIENT, Clinic
from tests.unit.dtr_app.test_opening import values
from tests.unit.dtr_app.test_smart import ISS, NOW, Server

FRAMES = "https://portal.example.org"


class Ehrs:
    """One chart behind every launch, and the tokens that it was read with."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.tokens: list[str] = []

    def open(self, _base: str, token: str) -> WritingEhr:
        self.tokens.append(token)
        return self.clinic.ehr()


class App:
    """The app under a public address, with one registered EHR."""

    def __init__(self, clinic: Clinic, public: str) -> None:
        self.server = Server()
        issuer = Issuer(iss=ISS, name="EHR", client_id="us", method="public", origins=(FRAMES,))
        registered = registrations([issuer])
        clock, http = FrozenClock(NOW), httpx.AsyncClient(transport=httpx.MockTransport(self.server))
        reach = Reach(registered.hosts)
        launch = SmartLaunch(registered, http, reach, clock, f"{public}/dtr/callback")
        codec = SealedCodec(passing_sealer(), registered, clinic.rules.registry)
        self.sessions = Sessions(MemoryAppSessions(), codec, clock)
        nothing: Any = None
        self.ehrs = Ehrs(clinic)
        ehrs: Any = self.ehrs
        opener = clinic.opener()
        around = Surroundings(
            launch=launch,
            ehrs=ehrs,
            opener=opener,
            evaluator=clinic.rules.engine,
            payer=nothing,
            sessions=self.sessions,
            clock=clock,
            ids=CountingIds(),
            shelf=opener.packager.sources.shelf,
            requests=Requests(opener.packager.sources.store, Settings(public_url=public)),
        )
        self.app = FastAPI()
        dependencies = AppDependencies(Settings(public_url=public), registered, launch, Desk(around))
        self.app.include_router(build(dependencies), prefix="/dtr")
        self.public = public

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app)
        async with httpx.AsyncClient(transport=transport, base_url=self.public) as client:
            yield client

    async def arrive(self, client: httpx.AsyncClient) -> Visit:
        """A launch to its end, without an order; the visit."""
        started = await client.get("/dtr/launch", params={"iss": ISS, "launch": "x"})
        asked = {name: values[0] for name, values in parse_qs(urlsplit(started.headers["location"]).query).items()}
        self.server.nonce = asked["nonce"]
        arrived = await client.get("/dtr/callback", params={"state": asked["state"], "code": "c"})
        self.cookies = [*started.headers.get_list("set-cookie"), *arrived.headers.get_list("set-cookie")]
        visit_id = arrived.headers["location"].rpartition("/")[2]
        return await self.sessions.find(visit_id, client.cookies.get(self.cookies[1].partition("=")[0]))


@pytest.fixture
def app(clinic: Clinic) -> App:
    return App(clinic, "https://payer.example.org")


async def test_under_https_the_cookies_are_bound_to_the_host_and_secure(app: App) -> None:
    async with app.browser() as client:
        await app.arrive(client)
    assert [cookie.partition("=")[0] for cookie in app.cookies] == ["__Host-dtr-launch", "__Host-dtr"]
    for cookie in app.cookies:
        words = {word.strip().casefold() for word in cookie.split(";")[1:]}
        assert {"secure", "httponly", "path=/", "samesite=none", "partitioned"} <= words
        assert not any(word.startswith("domain") for word in words)


async def test_without_https_the_cookies_stay_on_our_own_site(clinic: Clinic) -> None:
    """A browser takes no SameSite=None without Secure, and would keep none of these."""
    app = App(clinic, "http://127.0.0.1:8080")
    async with app.browser() as client:
        await app.arrive(client)
    assert [cookie.partition("=")[0] for cookie in app.cookies] == ["dtr-launch", "dtr"]
    for cookie in app.cookies:
        words = {word.strip().casefold() for word in cookie.split(";")[1:]}
        assert {"httponly", "path=/", "samesite=lax"} <= words
        assert not {"secure", "partitioned"} & words


async def test_pages_may_be_framed_by_registered_ehrs_alone(app: App) -> None:
    async with app.browser() as client:
        asked = {"iss": "https://elsewhere.example.org", "launch": "x"}
        page = await client.get("/dtr/launch", params=asked, headers={"Accept": "text/html"})
    policy = page.headers["content-security-policy"]
    assert re.search(r"frame-ancestors (.*)$", policy)[1] == f"'self' {FRAMES}"  # type: ignore[index] # fails as well
    assert "script-src 'self';" in policy
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("life", "token"), [(300, "secret-access"), (20, "second")])
async def test_tokens_that_are_about_to_end_are_renewed_before_the_chart_is_read(
    app: App, life: int, token: str
) -> None:
    app.server.answer = {"expires_in": life, "patient": PATIENT}
    async with app.browser() as client:
        visit = await app.arrive(client)
        app.server.answer = {"access_token": "second"}
        page = await client.get(f"/dtr/forms/{visit.id}", headers={"Accept": "text/html"})
    assert page.status_code == 200
    assert ORDER in page.text
    assert app.ehrs.tokens == [token]
    assert token not in page.text


async def test_leaving_ends_the_session_here_and_at_the_ehr(app: App) -> None:
    app.server.configuration = {"revocation_endpoint": "https://ehr.example.org/revoke"}
    async with app.browser() as client:
        visit = await app.arrive(client)
        page = f"/dtr/forms/{visit.id}"
        unsigned = await client.post(f"{page}/leave", data={"csrf": "guessed"})
        assert unsigned.status_code == 403
        left = await client.post(f"{page}/leave", data={"csrf": visit.csrf})
        assert left.status_code == 200
        assert app.server.asked[-1].url.path == "/revoke"
        assert app.server.form()["token"] == "secret-refresh"
        assert (await client.get(page)).status_code == 403


async def test_a_form_is_picked_from_those_of_the_order_alone(app: App) -> None:
    async with app.browser() as client:
        visit = await app.arrive(client)
        await app.sessions.keep(replace(visit, forms=(("https://payer.example.org/q|1", "<b>First</b>"),)))
        page = await client.get(f"/dtr/forms/{visit.id}", headers={"Accept": "text/html"})
        assert "&lt;b&gt;First&lt;/b&gt;" in page.text
        foreign = {"csrf": visit.csrf, "form": "https://elsewhere.example.org/q"}
        assert (await client.post(f"/dtr/forms/{visit.id}/form", data=foreign)).status_code == 404
        unsigned = {"form": "https://payer.example.org/q|1"}
        assert (await client.post(f"/dtr/forms/{visit.id}/form", data=unsigned)).status_code == 403


async def test_documents_are_added_and_taken_off_by_the_forms_own_page_alone(app: App, clinic: Clinic) -> None:
    async with app.browser() as client:
        visit = await app.arrive(client)
        await app.sessions.keep(replace(visit, opened=await clinic.open()))
        path, headers = f"/dtr/forms/{visit.id}", {"X-CSRF-Token": visit.csrf, "Accept": "application/json"}
        file = {"name": "<i>ct</i>.txt", "data": "R3Jvd24u"}
        assert (await client.post(f"{path}/add-file", json=file, headers={"Accept": "*/*"})).status_code == 403
        added = await client.post(f"{path}/add-file", json=file, headers=headers)
        assert "i&gt;.txt" in added.json()["documents"]
        assert "<i>" not in added.json()["documents"]
        (held,) = await app.sessions.attached(visit.id)
        refused = await client.post(f"{path}/add-file", json={"name": "x", "data": "AAAA"}, headers=headers)
        assert refused.status_code == 400
        other = await client.post(f"{path}/add-record", json={"record": "DocumentReference/guessed"}, headers=headers)
        assert other.status_code == 404
        assert (await client.post(f"{path}/add-record", json=[], headers=headers)).status_code == 400
        await client.post(f"{path}/remove-document", json={"record": held.reference}, headers=headers)
        assert await app.sessions.attached(visit.id) == ()


async def test_a_partial_date_goes_with_the_question_that_asked_for_it(app: App, clinic: Clinic) -> None:
    """The renderer sends neither: what is no longer asked for must not stay for want of an answer."""
    opened = await clinic.open()
    text = json.dumps(opened.items).replace(values(opened.items)["progression-date"], "2026-10")
    opened = replace(opened, items=tuple(json.loads(text)))
    async with app.browser() as client:
        visit = await app.arrive(client)
        await app.sessions.keep(replace(visit, opened=opened))
        headers = {"X-CSRF-Token": visit.csrf, "Accept": "application/json"}
        for progressed in (True, False):
            answered = [{"linkId": "progression-on-platinum", "answer": [{"valueBoolean": progressed}]}]
            groups = [{"linkId": item["linkId"], "item": answered} for item in opened.items]
            told = await client.post(f"/dtr/forms/{visit.id}/check", json={"item": groups}, headers=headers)
            assert ("progression-date" in told.json()["origins"]) is progressed
