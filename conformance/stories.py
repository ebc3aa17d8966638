"""The whole service in this process, driven through the tests' and the demo's stories; what passed is kept."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn

from conformance.launcher import launched_from_cards
from conformance.people import VERDICTS, in_the_app, reviewed
from conformance.recording import STORIES_PORT, Call, Json, Recorder
from service.app.compose import create_app
from service.app.parts import database_url
from service.catalog.registry import HOME
from service.pas.shape import Version
from service.policy.case import CaseId
from service.settings import Settings
from service.store.sql import SqlStore, open_store
from tests.doubles import CountingIds, FrozenClock
from tests.e2e.test_demo_stories import GUIDES, STORIES, Page
from tests.unit.dtr import samples
from tests.unit.dtr.samples import draft
from tests.unit.dtr.test_adaptive import ALL, answered
from tests.unit.pas import bundles, changes
from tests.unit.pas.notified import subscription
from tests.unit.pas.stories import STORIES as PAS_STORIES
from tests.unit.pas.subscriber import Subscriber, running_subscriber
from tests.unit.pas.test_attachment import DOCUMENT, sent
from tests.unit.pas.test_inquire import inquiry, line

GOLDEN = HOME / "tests" / "golden"
# The day of the hooks' golden requests.
NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
BASES = ("/fhir", "/2.0.1/fhir")
_WAIT_SECONDS = 0.05
_TOLD_SECONDS = 60
# The PAS stories are of September; revenue codes have another system in 2.0.1.
# An order in a PAS request is active (2.2.1 profile-medicationrequest).
_NOW_AND_HERE = {
    '"status": "draft"': '"status": "active"',
    "2026-11-30": "2027-02-28",
    "2026-09-": "2026-12-",
    "2026-08-30": "2026-11-30",
}
_REVENUE = {"https://www.nubc.org/CodeSystem/RevenueCodes": "https://www.nubc.org/revenue-code"}


async def everything() -> list[Call]:
    """Every exchange of every story, once. Needs what `make install` builds."""
    calls: list[Call] = []
    with running_subscriber() as subscriber:
        async with _served(calls) as (http, store):
            for base in BASES:
                await _prior_authorization(http, store, base, subscriber)
                await _forms(http, base)
                await _definitions(http, base)
                await _errors(http, base)
            await _hooks(http)
            await _demo(http)
            for story in ("approves-at-once", "missing-progression", "renewal"):
                await in_the_app(http, story, STORIES[story].answers)
        await launched_from_cards(calls, _hook_requests())
        notices = [Call("POST", "/notification", None, 200, body) for _, body in subscriber.received]
    return calls + notices


@asynccontextmanager
async def _served(calls: list[Call]) -> AsyncIterator[tuple[httpx.AsyncClient, SqlStore]]:
    """The stories' client, and the store; what the app reads from the demo EHR goes over a socket."""
    with tempfile.TemporaryDirectory() as data, socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = Settings(demo=True, notify_seconds=_WAIT_SECONDS, public_url=address)
        app = create_app(settings, Path(data), clock=FrozenClock(NOW), ids=CountingIds())
        app.add_middleware(Recorder, calls=calls)
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, access_log=False))
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", STORIES_PORT))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url=address, follow_redirects=True) as http,
        ):
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            store = open_store(database_url(settings, Path(data)), FrozenClock(NOW))
            yield http, store
            await store.close()
            server.should_exit = True
            await serving


async def _post(http: httpx.AsyncClient, path: str, body: Json) -> Json:
    answer = await http.post(path, content=json.dumps(body), headers={"Content-Type": "application/fhir+json"})
    found: Json = answer.json() if answer.content else {}
    return found


async def _prior_authorization(http: httpx.AsyncClient, store: SqlStore, base: str, subscriber: Subscriber) -> None:
    version: Version = "2.0.1" if "2.0.1" in base else "2.2.1"
    submit, inquire = f"{base}/Claim/$submit", f"{base}/Claim/$inquire"
    made = await _post(http, f"{base}/Subscription", subscription(subscriber.url, version))
    for number, name in enumerate(sorted(PAS_STORIES)):
        await _look(http, base, await _post(http, submit, _on_its_own(PAS_STORIES[name](), 100 + number, base)))
    chain = (
        changes.first(bundles.item(1)),
        changes.update(bundles.item(1), changes.info(bundles.item(2), "added")),
        changes.update(bundles.item(1), changes.cancelled(bundles.item(2)), number=3),
        changes.update(bundles.item(1), number=4, extension=[changes.whole_cancel()]),
    )
    for request in chain:
        await _post(http, submit, _on_its_own(request, 200, base))
    for asked in (inquiry(line()), inquiry(line(code="99212"))):
        await _post(http, inquire, _on_its_own(asked, 100, base))
    await _post(http, inquire, _on_its_own(inquiry(line()), 999, base))
    for number, verdict in enumerate(VERDICTS, start=300):
        answer = await _post(http, submit, _on_its_own(PAS_STORIES["pended-unknown"](), number, base))
        await _look(http, base, answer)
        [case_id] = [held["resource"]["id"] for held in answer["entry"] if _kind(held) == "ClaimResponse"]
        await reviewed(http, store, case_id, verdict)
        # A notice says how things stand when it is sent: before the next step changes them.
        await _told(store)
        now = (await http.get(f"{base}/ClaimResponse/{case_id}")).json()
        for asked in (one["reference"] for one in now.get("communicationRequest", ())):
            await http.get(asked)
            await http.get(asked.replace("/CommunicationRequest/", "/Task/"))
        await _post(http, inquire, _on_its_own(inquiry(line()), number, base))
        await _documents(http, store, base, CaseId(case_id))
    await _told(store)
    for path in ("", "/$status"):
        await http.get(f"{base}/Subscription/{made['id']}{path}")
    await http.delete(f"{base}/Subscription/{made['id']}")


async def _look(http: httpx.AsyncClient, base: str, answer: Json) -> None:
    """Reads what an answer refers to, each by its own address."""
    bundles = [answer] if answer["resourceType"] == "Bundle" else [p["resource"] for p in answer.get("parameter", ())]
    for held in (held for bundle in bundles for held in bundle.get("entry", ())):
        if _kind(held) in {"ClaimResponse", "CommunicationRequest", "Task"}:
            await http.get(f"{base}/{_kind(held)}/{held['resource']['id']}")


async def _told(store: SqlStore) -> None:
    """Waits until subscribers have been told everything. Raises TimeoutError when they have not."""
    outbox = store.outbox()
    async with asyncio.timeout(_TOLD_SECONDS):
        while await outbox.untold(1) or (await outbox.tally()).waiting:
            await asyncio.sleep(_WAIT_SECONDS)


def _kind(held: Json) -> str:
    return str(held["resource"]["resourceType"])


async def _documents(http: httpx.AsyncClient, store: SqlStore, base: str, case_id: CaseId) -> None:
    """Sends what is still asked for, and reads what became of the request."""
    found = await store.case(case_id)
    if found is None:
        raise LookupError("the case that was just decided is not there")
    for asked in found[0].asked:
        body = sent(
            asked.control_number, DOCUMENT, member=str(found[0].member), ServiceDate={"valueDate": "2026-12-08"}
        )
        await _post(http, f"{base}/$submit-attachment", body)
        await http.get(f"{base}/ClaimResponse/{case_id}")


def _on_its_own(request: Json, number: int, base: str) -> Json:
    """The same request, near today, for a member of its own: what one story files does not change another."""
    text = json.dumps(request).replace('"M000123"', f'"M{base.count("2")}{number}"')
    for was, now in (_NOW_AND_HERE | (_REVENUE if "2.0.1" in base else {})).items():
        text = text.replace(was, now)
    changed: Json = json.loads(text)
    for order in (entry["resource"] for entry in changed["entry"] if _kind(entry) == "MedicationRequest"):
        # us-core-21: an order has a requester. What is authorized with changes repeats it.
        order["requester"] = bundles.refer(bundles.PRACTITIONER)
    return changed


async def _forms(http: httpx.AsyncClient, base: str) -> None:
    package = f"{base}/Questionnaire/$questionnaire-package"
    for request in sorted((GOLDEN / "dtr").glob("*/request.json")):
        await _post(http, package, json.loads(request.read_text()))
    await _post(http, package, samples.by_canonical(f"{samples.RENEWAL}|1.0.0"))
    open_response = draft(await _post(http, package, samples.by_canonical(f"{samples.INITIAL}-adaptive")))
    for _ in range(12):
        if open_response["status"] != "in-progress":
            break
        asked = any(form.get("item") for form in open_response.get("contained", ()))
        given = answered(open_response, ALL) if asked else open_response
        open_response = await _post(http, f"{base}/Questionnaire/$next-question", given)


async def _definitions(http: httpx.AsyncClient, base: str) -> None:
    await http.get(f"{base}/metadata")
    for kind in ("Questionnaire", "Library", "ValueSet"):
        found = (await http.get(f"{base}/{kind}")).json()
        for held in found.get("entry", ()):
            await http.get(f"{base}/{kind}/{held['resource']['id']}")
            if kind == "ValueSet":
                await http.get(f"{base}/ValueSet/$expand", params={"url": held["resource"]["url"]})


async def _errors(http: httpx.AsyncClient, base: str) -> None:
    for path in ("Claim/$submit", "Claim/$inquire", "Questionnaire/$questionnaire-package", "Subscription"):
        await _post(http, f"{base}/{path}", {"resourceType": "Bundle"})
        await _post(http, f"{base}/{path}", {"resourceType": "Parameters", "unknown": 1})
    for path in ("ClaimResponse/unknown", "Library/unknown", "nowhere"):
        await http.get(f"{base}/{path}")


async def _hooks(http: httpx.AsyncClient) -> None:
    await http.get("/cds-services")
    for body in _hook_requests():
        await _post(http, f"/cds-services/{body['hook']}-crd", body)
        if body["hook"] == "encounter-discharge":
            await _post(http, "/cds-services/encounter-start-crd", {**body, "hook": "encounter-start"})
    await _post(http, "/cds-services/order-sign-crd", {"hook": "order-sign"})


def _hook_requests() -> list[Json]:
    """The golden requests, of every hook but encounter-start, in both versions."""
    return [json.loads(request.read_text()) for request in sorted((GOLDEN / "crd").glob("*/request.json"))]


async def _demo(http: httpx.AsyncClient) -> None:
    for story, told in STORIES.items():
        for guides in GUIDES:
            page = Page((await http.get(f"/demo/{story}")).text)
            page = await _press(http, page, f"/demo/{story}/start-over", {"guides": guides})
            page = await _press(http, page, f"/demo/{story}/sign", {})
            page = await _press(http, page, f"/demo/{story}/open-form", {})
            typed = {f"answer:{link_id}": text for link_id, text in told.answers.items()}
            page = await _press(http, page, f"/demo/{story}/submit", typed)
            if any(button.get("name") == "incomplete" for button in page.buttons):
                page = await _press(http, page, f"/demo/{story}/submit", typed | {"incomplete": "yes"})
            if f"/demo/{story}/ask-again" in page.forms:
                await _press(http, page, f"/demo/{story}/ask-again", {})


async def _press(http: httpx.AsyncClient, page: Page, address: str, fields: dict[str, str]) -> Page:
    return Page((await http.post(address, data=page.forms[address] | fields)).text)
