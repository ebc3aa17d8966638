"""The console over a store in memory, with cases that the real policy pended."""

from __future__ import annotations

import html.parser
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fastapi import FastAPI

from service.app.parts import Rules
from service.determine.request import Receipt
from service.fhir.json import encode
from service.pas.numbers import reference_number
from service.pas.request import parse
from service.policy.case import Case, CaseId, CaseLine, ClientId, MemberId, Urgency
from service.policy.decision import Clinician
from service.policy.determination import as_json
from service.policy.reviewer import Account, Person, Role
from service.ports import Acceptance, StoredReply
from service.review.passwords import Passwords
from service.review.routes import ReviewDependencies, build
from service.settings import Settings
from service.store.memory import MemoryStore
from service.store.reviewers import MemoryReviewers
from tests.doubles import CountingIds, FrozenClock
from tests.unit.pas import bundles as b

NOW = datetime(2026, 9, 1, 15, 4, 7, tzinfo=UTC)
PASSWORD = "a long enough password"
NPI, SPECIALTY = "1003000126", "207RH0003X"
PEOPLE = (
    Person("cora", "Cora Clinician", Role.CLINICIAN, Clinician("Cora Clinician", NPI, SPECIALTY)),
    Person("rita", "Rita Reviewer", Role.REVIEWER),
    Person("rob", "Rob Reviewer", Role.REVIEWER),
    Person("ada", "Ada Auditor", Role.AUDITOR),
)
# Cheap on purpose: what is tested is not how long a guess takes.
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Form(html.parser.HTMLParser):
    """A page's fields as a browser would send them, one form's by its action."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.forms: dict[str, dict[str, str]] = {}
        self._now: dict[str, str] | None = None
        self._area: str | None = None
        self._select: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        if tag == "form":
            self._now = self.forms.setdefault(str(held["action"]), {})
        elif self._now is None:
            return
        elif tag == "input" and held.get("name") and (held.get("type") != "radio" or "checked" in held):
            self._now[str(held["name"])] = held.get("value") or ""
        elif tag == "textarea":
            self._area = str(held["name"])
            self._now[self._area] = ""
        elif tag == "select":
            self._select = str(held["name"])
            self._now[self._select] = ""
        elif tag == "option" and "selected" in held and self._select:
            self._now[self._select] = held.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self._area and self._now is not None:
            self._now[self._area] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._now = None
        elif tag == "textarea":
            self._area = None
        elif tag == "select":
            self._select = None


@dataclass
class Console:
    """The console, its stores, and a way to put cases in."""

    rules: Rules
    settings: Settings = field(default_factory=lambda: Settings(public_url="http://127.0.0.1:8080"))
    clock: FrozenClock = field(default_factory=lambda: FrozenClock(NOW))
    reviewers: MemoryReviewers = field(default_factory=MemoryReviewers)

    def __post_init__(self) -> None:
        self.store = MemoryStore(self.clock)
        self.ids = CountingIds()
        self.passwords = Passwords(HASHER)
        self.app = FastAPI()
        dependencies = ReviewDependencies(
            self.settings, self.rules.registry, self.store, self.reviewers, self.passwords, self.clock, self.ids
        )
        self.app.include_router(build(dependencies), prefix="/review")

    async def add_people(self) -> None:
        for person in PEOPLE:
            await self.reviewers.save_account(Account(person, self.passwords.hash(PASSWORD)))

    async def add_case(self, bundle: dict[str, Any] | None = None, **changes: Any) -> Case:
        """A request, evaluated and filed; without one, an answer short of an approval."""
        bundle = bundle or unanswered()
        request = parse(bundle, self.rules.check, member_system=self.settings.member_system)

        async def nothing_on_file(_policy_id: str) -> list[Any]:
            return []

        determination = await self.rules.determiner.determine(request, Receipt(self.clock.now()), nothing_on_file)
        case_id = CaseId(self.ids.new())
        lines = tuple(
            CaseLine(line, "PA-0" if line.period else None, reference_number(case_id, line.sequence))
            for line in determination.lines
        )
        made: dict[str, Any] = {
            "urgency": Urgency.STANDARD,
            "due": self.clock.now() + timedelta(hours=72),
            "linked": (),
        }
        case = Case(
            id=case_id,
            client=ClientId("clinic"),
            guide_version="2.2.1",
            received_at=self.clock.now(),
            decided_at=self.clock.now(),
            member=MemberId("M000123"),
            providers=request.provider_npis,
            claim_identifiers=request.claim_identifiers,
            first_service=request.created.earliest(),
            lines=lines,
            **(made | changes),
        )
        audit = {"kind": "determination", "actor": "rules", "determination": as_json(case.determination)}
        await self.store.accept(
            Acceptance(case, f"sha256:{case_id}", encode(bundle), StoredReply(case_id, 200, b"{}"), audit)
        )
        return case

    async def case(self, case_id: str) -> Case:
        found = await self.store.case(CaseId(case_id))
        assert found is not None
        return found[0]

    @asynccontextmanager
    async def browser(self, login: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A browser of its own, signed in when a login is given."""
        transport = httpx.ASGITransport(app=self.app, client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url=self.settings.public_url) as client:
            if login:
                answer = await sign_in(client, login)
                assert answer.status_code == 303, answer.text
            yield client


async def sign_in(client: httpx.AsyncClient, login: str, password: str = PASSWORD) -> httpx.Response:
    page = Form((await client.get("/review/sign-in")).text)
    fields = page.forms["/review/sign-in"] | {"login": login, "password": password}
    return await client.post("/review/sign-in", data=fields)


async def send(client: httpx.AsyncClient, case_id: str, action: str, **changed: str) -> httpx.Response:
    """Sends one of the case page's forms as it stands, with changes ("verdict_1" is the field verdict-1)."""
    page = Form((await client.get(f"/review/cases/{case_id}")).text)
    return await submit(client, page, f"/review/cases/{case_id}/{action}", **changed)


async def submit(client: httpx.AsyncClient, page: Form, address: str, **changed: str) -> httpx.Response:
    """Sends a form of a page that was opened before."""
    assert address in page.forms, f"no form for {address}"
    return await client.post(address, data=page.forms[address] | {k.replace("_", "-"): v for k, v in changed.items()})


def unanswered() -> dict[str, Any]:
    """One question has no answer; one is answered no; two say who answered."""
    answers = b.ANSWERS | {"es-sclc": False}
    del answers["progression-on-platinum"]
    response = b.response(answers)
    origin = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/information-origin"
    for item, source in zip(response["item"], ("auto", "override"), strict=False):
        item["answer"][0]["extension"] = [{"url": origin, "extension": [{"url": "source", "valueCode": source}]}]
    return b.bundle({b.RESPONSE: response})


def words(page: str) -> str:
    """The page's text with single spaces."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


@pytest.fixture
async def console(rules: Rules) -> Console:
    made = Console(rules)
    await made.add_people()
    return made
