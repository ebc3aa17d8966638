"""Notifications, sent to a real subscriber on this machine: shape, order, headers, retries, giving up, reach."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.fhir.parse import StructureCheck
from service.pas.shape import Version
from service.policy.case import CaseId
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas import changes
from tests.unit.pas.notified import BASES, TOPIC, Make, Notified, subscription
from tests.unit.pas.payer import response_of
from tests.unit.pas.subscriber import Subscriber, free_port, running_subscriber, value_of

Json = dict[str, Any]
BOTH = pytest.mark.parametrize("version", BASES)


@BOTH
@pytest.mark.requirement("spec-51", "spec-54", "spec-60", "spec-61")
async def test_from_request_to_event(
    notified: Notified, subscriber: Subscriber, check: StructureCheck, version: Version
) -> None:
    header = ["Authorization: Bearer t0ken", "X-Odd:  two  spaces "]
    made = await notified.subscribe(subscription(subscriber.url, version, header=header), version)
    own = f"https://payer.example.org{BASES[version]}"
    await notified.tell()
    case_id = await notified.pended()
    await notified.changed(case_id, "event-a")
    await notified.changed(case_id, "event-b")
    await notified.tell(2)

    assert subscriber.kinds == ["handshake", "event-notification", "event-notification"]
    for headers, bundle in subscriber.received:
        assert headers["authorization"] == "Bearer t0ken"
        assert headers["x-odd"] == "two  spaces"
        assert headers["content-type"] == "application/fhir+json"
        get_fhir_model_class("Bundle").model_validate(bundle)
        assert check.check(bundle) == ()
        assert bundle["type"] == "history"
        assert all({"request", "response"} <= set(entry) for entry in bundle["entry"])
        assert bundle["entry"][0]["request"] == {"method": "GET", "url": f"{own}/Subscription/{made}/$status"}
        assert value_of(bundle, "subscription") == str({"reference": f"{own}/Subscription/{made}"})
        assert value_of(bundle, "topic") == TOPIC
    (_, handshake), (_, first), (_, second) = subscriber.received
    assert (value_of(handshake, "status"), value_of(first, "status")) == ("requested", "active")
    assert [value_of(one, "events-since-subscription-start") for one in (handshake, first, second)][::2] == ["0", "2"]
    assert [event_of(one)["event-number"] for one in (first, second)] == ["1", "2"]
    focus = event_of(second)["focus"]["reference"]
    [told] = second["entry"][1:]
    assert told["fullUrl"] == focus
    if version == "2.0.1":
        assert focus == f"{own}/ClaimResponse/{case_id}"
        assert "resource" not in told
    else:
        assert focus == f"{own}/Bundle/event-b"
        response = told["resource"]
        assert (response["id"], response["type"]) == ("event-b", "collection")
        assert response_of(response)["id"] == case_id
        assert told["request"] == {"method": "POST", "url": "Bundle"}
        assert told["response"] == {"status": "201"}


def event_of(bundle: Json) -> Json:
    (event,) = [one for one in bundle["entry"][0]["resource"]["parameter"] if one["name"] == "notification-event"]
    return {part["name"]: next(v for k, v in part.items() if k.startswith("value")) for part in event["part"]}


@BOTH
@pytest.mark.requirement("spec-60")
async def test_a_change_that_a_client_sends_is_told(
    notified: Notified, subscriber: Subscriber, version: Version
) -> None:
    """Who sent it has its answer; others of the same client follow the case by their subscription."""
    await notified.subscribe(subscription(subscriber.url, version), version)
    await notified.tell()
    await notified.payer.submit(changes.first(b.item()), version)
    await notified.tell(2)
    assert subscriber.kinds == ["handshake"]
    changed = changes.info(b.item(quantity={"value": 5, "unit": "unit"}), "changed")
    answer = await notified.payer.submit(changes.update(changed), version)
    await notified.tell(2)
    assert subscriber.kinds == ["handshake", "event-notification"]
    assert response_of(answer)["id"] in json.dumps(subscriber.received[1][1])


async def test_the_handshake_waits_for_the_answer(notified: Notified, subscriber: Subscriber) -> None:
    """The notifier runs while the answer is still on its way, and says nothing."""
    order: list[str] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps(subscription(subscriber.url)).encode()}

    async def send(message: Any) -> None:
        await notified.tell()
        order.append(message["type"] if not subscriber.received else "too late")

    scope = {"type": "http", "method": "POST", "path": "/fhir/Subscription", "headers": [], "query_string": b""}
    await notified.app({**scope, "client": ("127.0.0.1", 1), "server": ("payer", 443)}, receive, send)
    assert order == ["http.response.start", "http.response.body"]
    assert notified.woken
    await notified.tell()
    assert subscriber.kinds == ["handshake"]


async def test_a_handshake_whose_process_died_is_sent_later(notified: Notified, subscriber: Subscriber) -> None:
    made = await notified.subscribe(subscription(subscriber.url))
    found = await notified.store.outbox().subscription(made)
    assert found is not None
    await notified.store.outbox().unsubscribe(made)
    await notified.store.outbox().subscribe(found, notified.payer.clock.now() + timedelta(seconds=30))
    await notified.tell()
    assert subscriber.received == []
    notified.payer.clock.advance(timedelta(seconds=30))
    await notified.tell()
    assert subscriber.kinds == ["handshake"]


async def test_failures_are_retried_ever_later_until_it_arrives(notified: Notified, subscriber: Subscriber) -> None:
    subscriber.answers = [500, 503, 200]
    made = await notified.subscribe(subscription(subscriber.url))
    tried: list[int] = []
    for second in range(10):
        await notified.tell()
        if len(subscriber.received) > len(tried):
            tried.append(second)
        notified.payer.clock.advance(timedelta(seconds=1))
    assert tried == [0, 2, 6]
    assert await notified.status(made) == "active"
    assert notified.figure("notifications_total", result="failed") == 2
    assert notified.figure("notifications_total", result="delivered") == 1


async def test_what_arrived_is_kept_for_as_long_as_the_settings_say(
    make: Make, subscriber: Subscriber, tmp_path: Path
) -> None:
    """Forgotten while the notifier runs, of itself; what happens afterwards has the next number."""
    notified = make(notify_keep_days=2, notify_seconds=0.01)
    await notified.subscribe(subscription(subscriber.url))
    await notified.tell()
    case_id = await notified.pended()
    await notified.changed(case_id, "event-a")
    await notified.tell()
    database = tmp_path / "outbox.db"
    notified.payer.clock.advance(timedelta(days=1))
    await notified.notifier.forget()
    assert _events_told(database) == 1
    notified.payer.clock.advance(timedelta(days=2))
    running = asyncio.create_task(notified.notifier.run())
    for _ in range(500):
        await asyncio.sleep(0.01)
        if _events_told(database) == 0:
            break
    notified.notifier.stop()
    await running
    assert _events_told(database) == 0
    await notified.changed(case_id, "event-b")
    await notified.tell()
    assert subscriber.kinds == ["handshake", "event-notification", "event-notification"]
    told = subscriber.received[-1][1]["entry"][0]["resource"]["parameter"]
    event = next(one for one in told if one["name"] == "notification-event")
    assert event["part"][0] == {"name": "event-number", "valueString": "2"}


def _events_told(database: Path) -> int:
    with closing(sqlite3.connect(database)) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM deliveries WHERE number > 0")
        return int(found)


async def test_a_dead_endpoint_ends_in_error_and_in_metrics_and_comes_back(make: Make) -> None:
    notified = make(notify_attempts=3)
    made = await notified.subscribe(subscription(f"http://127.0.0.1:{free_port()}/hook"))
    for _ in range(5):
        await notified.tell()
        notified.payer.clock.advance(timedelta(hours=1))
    assert await notified.status(made) == "error"
    await notified.notifier.count()
    assert notified.figure("subscriptions_in_error") == 1
    assert notified.figure("notifications_total", result="failed") == 3
    assert notified.figure("notifications_total", result="given-up") == 1
    await notified.changed(await notified.pended(), "event-a")
    await notified.tell()
    read = (await notified.call("GET", f"/fhir/Subscription/{made}")).json()
    assert read["status"] == "error"
    with running_subscriber() as alive:
        changed = {**read, "channel": {**read["channel"], "endpoint": alive.url}}
        answer = await notified.call("PUT", f"/fhir/Subscription/{made}", changed)
        assert (answer.status_code, answer.json()["status"]) == (200, "requested")
        await notified.tell(2)
        assert alive.kinds == ["handshake", "event-notification"]
    assert await notified.status(made) == "active"
    await notified.notifier.count()
    assert notified.figure("subscriptions_in_error") == 0


async def test_a_slow_endpoint_is_let_go_of_and_holds_nobody_up(make: Make, subscriber: Subscriber) -> None:
    notified = make(notify_timeout_seconds=1.0)
    subscriber.slow.clear()
    slow = await notified.subscribe(subscription(subscriber.url))
    with running_subscriber() as quick:
        made = await notified.subscribe(subscription(quick.url))
        await notified.tell()
        assert (await notified.status(made), await notified.status(slow)) == ("active", "requested")
    assert notified.figure("notifications_total", result="failed") == 1


async def test_a_redirect_is_not_followed(notified: Notified, subscriber: Subscriber) -> None:
    subscriber.answers = [307]
    made = await notified.subscribe(subscription(subscriber.url))
    await notified.tell()
    assert subscriber.paths == ["/hook"]
    assert await notified.status(made) == "requested"


async def test_what_was_allowed_once_is_asked_again(
    make: Make, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even its name is looked up any more."""
    made = await make().subscribe(subscription(subscriber.url))
    strict = make(demo=False, subscriber_hosts=("elsewhere.example.org",))
    with caplog.at_level(logging.WARNING):
        await strict.tell()
    assert subscriber.paths == []
    assert await strict.status(made) == "requested"
    reasons = [vars(record)["reason"] for record in caplog.records if "did not arrive" in record.message]
    assert reasons == ["not-allowed"]


async def test_a_name_that_leads_to_a_private_address_is_not_called(make: Make, subscriber: Subscriber) -> None:
    """The host is on the list; what it resolves to decides."""
    notified = make(demo=False, subscriber_hosts=(f"localhost:{subscriber.port}",))
    made = await notified.subscribe(subscription(f"https://localhost:{subscriber.port}/hook"))
    await notified.tell()
    assert subscriber.paths == []
    assert notified.figure("notifications_total", result="failed") == 1
    assert await notified.status(made) == "requested"


@pytest.mark.requirement("spec-59")
async def test_only_the_case_s_own_client_is_told(notified: Notified, subscriber: Subscriber) -> None:
    await notified.subscribe(subscription(subscriber.url))
    await notified.tell()
    await notified.changed(await notified.pended(client="other"), "event-a")
    await notified.tell()
    assert subscriber.kinds == ["handshake"]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (("org-identifier=1245319599",), True),
        (("orgIdentifier=1245319599",), True),
        (("identifier=1245319599",), True),
        (("identifier=http://hl7.org/fhir/sid/us-npi|1245319599",), True),
        (("identifier=http://hl7.org/fhir/sid/us-npi%7C1245319599",), True),
        (("identifier=urn:other|1245319599",), False),
        (("identifier=9999999999, 1245319599",), True),
        (("identifier=9999999999",), False),
        (("identifier=124531959",), False),
        (("identifier=1245319599", "orgIdentifier=SENDER-ISA"), True),
        (("identifier=1245319599", "orgIdentifier=9999999999"), False),
        (("org-identifier=SENDER-APP",), True),
        (("org-identifier=RECEIVER",), False),
    ],
)
@pytest.mark.requirement("spec-58")
async def test_filters(notified: Notified, subscriber: Subscriber, filters: tuple[str, ...], told: bool) -> None:
    await notified.subscribe(subscription(subscriber.url, "2.2.1", *filters))
    await notified.tell()
    codes = {"applicationSenderCode": "SENDER-APP", "applicationReceiverCode": "RECEIVER"}
    parts = [
        {"url": name, "valueString": code} for name, code in {**codes, "interchangeSenderID": "SENDER-ISA  "}.items()
    ]
    transmission = {
        "url": "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-TransmissionIdentifiers",
        "extension": parts,
    }
    bundle = b.bundle({b.RESPONSE: b.response({}), b.CLAIM: b.claim(extension=[transmission])})
    await notified.changed(CaseId(response_of(await notified.payer.submit(bundle))["id"]), "event-a")
    await notified.tell()
    assert subscriber.kinds == ["handshake", *(["event-notification"] if told else [])]


async def test_one_that_is_switched_off_or_removed_is_told_nothing(
    notified: Notified, subscriber: Subscriber
) -> None:
    body = subscription(subscriber.url)
    kept, removed = await notified.subscribe(body), await notified.subscribe(body)
    await notified.tell()
    off = await notified.call("PUT", f"/fhir/Subscription/{kept}", {**body, "id": kept, "status": "off"})
    assert off.json()["status"] == "off"
    assert (await notified.call("DELETE", f"/fhir/Subscription/{removed}")).status_code == 204
    assert (await notified.call("GET", f"/fhir/Subscription/{removed}")).status_code == 404
    await notified.changed(await notified.pended(), "event-a")
    await notified.tell(2)
    assert subscriber.kinds == ["handshake", "handshake"]


async def test_one_whose_end_is_past_is_told_nothing_more(notified: Notified, subscriber: Subscriber) -> None:
    made = await notified.subscribe(subscription(subscriber.url) | {"end": "2026-09-01T16:04:07+00:00"})
    await notified.tell()
    case_id = await notified.pended()
    await notified.changed(case_id, "event-a")
    await notified.tell()
    notified.payer.clock.advance(timedelta(hours=1))
    await notified.changed(case_id, "event-b")
    await notified.tell()
    assert subscriber.kinds == ["handshake", "event-notification"]
    assert (await notified.call("GET", f"/fhir/Subscription/{made}")).json()["status"] == "off"


async def test_overdue_cases_are_counted(notified: Notified) -> None:
    await notified.pended()
    await notified.notifier.count()
    assert (notified.figure("cases_pended"), notified.figure("cases_overdue")) == (1, 0)
    case_id = await notified.pended(client="late")
    found = await notified.store.case(case_id)
    assert found is not None
    past = notified.payer.clock.now() - timedelta(seconds=1)
    late = replace(found[0], due=past)
    await notified.store.save(CaseChange(late, late.revision, {"kind": "test"}))
    await notified.notifier.count()
    assert (notified.figure("cases_pended"), notified.figure("cases_overdue")) == (2, 1)


async def test_no_log_line_tells_headers_or_address(
    notified: Notified, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber.answers = [500]
    with caplog.at_level(0):
        await notified.subscribe(subscription(subscriber.url, header=["Authorization: Bearer t0ken"]))
        await notified.tell()
    ours = [vars(record) for record in caplog.records if record.name.startswith("service")]
    assert any(record["reason"] == "status-500" for record in ours if "reason" in record)
    assert "t0ken" not in str(ours)
    assert "/hook" not in str(ours)
