"""What the outbox promises on SQLite and PostgreSQL: numbers, order, leases, several processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select

from service.policy.case import ClientId
from service.ports import CASE_CHANGED, Delivery, Event, Subscription
from service.store.connect import open_engine
from service.store.outbox import SqlOutbox
from service.store.outbox_tables import deliveries
from service.store.sql import SqlStore
from service.store.tables import events
from tests.contract.cases import EHR, NOW, acceptance, case
from tests.contract.conftest import opened
from tests.doubles import FrozenClock

ROOT = Path(__file__).parents[2]
LATER = NOW + timedelta(minutes=1)
SECRET = "Authorization: Bearer secret"


def subscription(number: int = 1, **changes: object) -> Subscription:
    made = Subscription(
        id=f"subscription-{number}",
        client=EHR,
        guide_version="2.2.1",
        status="requested",
        resource={"resourceType": "Subscription", "channel": {"header": [SECRET]}},
        made_at=NOW,
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the tests name fields only


def event(number: int, at: datetime = NOW) -> Event:
    return Event(f"event-{number}", CASE_CHANGED, case(1).id, at)


async def happened(store: SqlStore, *numbers: int) -> None:
    told = tuple(event(number) for number in numbers)
    await store.accept(acceptance(case(1), events=told))


async def opened_subscription(outbox: SqlOutbox, number: int = 1) -> None:
    """Made, and its handshake answered."""
    await outbox.subscribe(subscription(number), NOW)
    for delivery in await outbox.claim(NOW, LATER, 10):
        await outbox.delivered(delivery, NOW)


def numbers(deliveries: object) -> list[tuple[str, int]]:
    assert isinstance(deliveries, list)
    return [(delivery.subscription.id, delivery.number) for delivery in deliveries]


async def test_a_subscription_is_found_by_id_and_client(sql: SqlStore) -> None:
    outbox = sql.outbox()
    for made in (subscription(1), subscription(2), subscription(3, client=ClientId("other"))):
        await outbox.subscribe(made, NOW)
    assert await outbox.subscription("subscription-2") == subscription(2)
    assert await outbox.subscription("subscription-9") is None
    assert [found.id for found in await outbox.subscriptions_of(EHR)] == ["subscription-1", "subscription-2"]


async def test_the_handshake_comes_first_and_activates(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await outbox.subscribe(subscription(), NOW)
    await happened(sql, 1)
    [untold] = await outbox.untold(10)
    await outbox.spread(untold, ["subscription-1"], NOW)
    [handshake] = await outbox.claim(NOW, LATER, 10)
    assert (handshake.number, handshake.event, handshake.subscription.status) == (0, None, "requested")
    assert await outbox.claim(NOW, LATER, 10) == []
    await outbox.delivered(handshake, NOW)
    [first] = await outbox.claim(NOW, LATER, 10)
    assert (first.number, first.event, first.subscription.status) == (1, event(1), "active")


async def test_a_handshake_is_not_due_before_its_time_unless_hastened(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await outbox.subscribe(subscription(), LATER)
    assert await outbox.claim(NOW, LATER, 10) == []
    await outbox.hasten("subscription-1", NOW)
    assert numbers(await outbox.claim(NOW, LATER, 10)) == [("subscription-1", 0)]
    # It is on its way: hastening again does not send it twice.
    await outbox.hasten("subscription-1", NOW)
    assert await outbox.claim(NOW, LATER, 10) == []


async def test_events_are_numbered_per_subscription_and_come_in_order(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox, 1)
    await opened_subscription(outbox, 2)
    await happened(sql, 1, 2)
    first, second = await outbox.untold(10)
    assert [first, second] == [event(1), event(2)]
    await outbox.spread(first, ["subscription-1", "subscription-2"], NOW)
    await outbox.spread(second, ["subscription-2"], NOW)
    assert await outbox.untold(10) == []
    both = await outbox.claim(NOW, LATER, 10)
    assert sorted(numbers(both)) == [("subscription-1", 1), ("subscription-2", 1)]
    assert [delivery.event for delivery in both] == [event(1), event(1)]
    for delivery in both:
        await outbox.delivered(delivery, NOW)
    [last] = await outbox.claim(NOW, LATER, 10)
    assert (last.subscription.id, last.number, last.event) == ("subscription-2", 2, event(2))
    assert last.subscription.events == 2


def rows(database: str) -> tuple[list[tuple[str, int]], list[str]]:
    """What the outbox still holds: notifications, events."""
    engine = open_engine(database, connections=1)
    with engine.connect() as connection:
        told = connection.execute(select(deliveries.c.subscription_id, deliveries.c.number))
        known = connection.execute(select(events.c.id).order_by(events.c.position))
        held = sorted((row[0], row[1]) for row in told), [row[0] for row in known]
    engine.dispose()
    return held


async def test_what_is_over_is_forgotten_and_numbers_go_on(database: str, sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox)
    await happened(sql, 1, 2, 3)
    for number in (1, 2):
        await outbox.spread(event(number), ["subscription-1"], NOW)
    [first] = await outbox.claim(NOW, LATER, 10)
    await outbox.delivered(first, NOW)
    # Nothing is over before it is old: neither what arrived, nor what waits, nor what was not spread.
    assert await outbox.forget(NOW, 10) == 0
    assert await outbox.forget(LATER, 10) == 2
    assert await outbox.forget(LATER, 10) == 0
    assert rows(database) == ([("subscription-1", 0), ("subscription-1", 2)], ["event-2", "event-3"])
    await outbox.spread(event(3), ["subscription-1"], NOW)
    [second] = await outbox.claim(NOW, LATER, 10)
    assert (second.number, second.event) == (2, event(2))
    await outbox.delivered(second, NOW)
    [third] = await outbox.claim(NOW, LATER, 10)
    assert third.number == 3


async def test_what_waits_is_forgotten_once_its_subscription_has_ended(database: str, sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox, 1)
    await opened_subscription(outbox, 2)
    await happened(sql, 1)
    await outbox.spread(event(1), ["subscription-1", "subscription-2"], NOW)
    found = {one.subscription.id: one for one in await outbox.claim(NOW, LATER, 10)}
    assert await outbox.give_up(found["subscription-1"], NOW)
    assert await outbox.forget(LATER, 10) == 1
    # The other one still waits, and so the event is known.
    assert rows(database) == (
        [("subscription-1", 0), ("subscription-2", 0), ("subscription-2", 1)],
        ["event-1"],
    )


async def test_a_little_is_forgotten_at_a_time(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await happened(sql, 1, 2, 3)
    for number in (1, 2, 3):
        await outbox.spread(event(number), [], NOW)
    assert [await outbox.forget(LATER, 2) for _ in range(3)] == [2, 1, 0]


async def test_an_event_is_spread_once_whoever_else_tries(database: str, sql: SqlStore, clock: FrozenClock) -> None:
    await opened_subscription(sql.outbox())
    await happened(sql, 1)
    async with opened(database, clock) as other:
        spreading = [(sql, other)[n % 2].outbox().spread(event(1), ["subscription-1"], NOW) for n in range(8)]
        await asyncio.gather(*spreading)
    found = await sql.outbox().subscription("subscription-1")
    assert found is not None
    assert found.events == 1
    assert (await sql.outbox().tally()).waiting == 1


async def test_what_waits_is_handed_to_one_process_at_a_time(
    database: str, sql: SqlStore, clock: FrozenClock
) -> None:
    for number in range(1, 9):
        await sql.outbox().subscribe(subscription(number), NOW)
    async with opened(database, clock) as other:
        claims = [(sql, other)[n % 2].outbox().claim(NOW, LATER, 3) for n in range(8)]
        claimed = [delivery.subscription.id for found in await asyncio.gather(*claims) for delivery in found]
    assert len(claimed) == len(set(claimed))
    # Those that another's choice kept from being chosen are there for the next turn.
    rest = await sql.outbox().claim(NOW, LATER, 10)
    assert sorted([*claimed, *(delivery.subscription.id for delivery in rest)]) == [
        f"subscription-{number}" for number in range(1, 9)
    ]


async def test_a_lease_that_ends_is_given_to_the_next_and_the_first_settles_nothing(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await outbox.subscribe(subscription(), NOW)
    [lost] = await outbox.claim(NOW, LATER, 10)
    assert await outbox.claim(LATER - timedelta(seconds=1), LATER, 10) == []
    [held] = await outbox.claim(LATER, LATER + timedelta(minutes=1), 10)
    assert (lost.attempt, held.attempt) == (1, 2)
    await outbox.delivered(lost, LATER)
    await outbox.postpone(lost, NOW)
    assert not await outbox.give_up(lost, NOW)
    assert await _status(outbox) == "requested"
    assert await outbox.claim(LATER, LATER, 10) == []
    await outbox.delivered(held, LATER)
    assert await _status(outbox) == "active"


async def test_a_postponed_one_is_due_again_and_counts_its_attempts(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await outbox.subscribe(subscription(), NOW)
    [first] = await outbox.claim(NOW, LATER, 10)
    await outbox.postpone(first, NOW + timedelta(seconds=2))
    assert await outbox.claim(NOW + timedelta(seconds=1), LATER, 10) == []
    [again] = await outbox.claim(NOW + timedelta(seconds=2), LATER, 10)
    assert again.attempt == 2


async def test_after_giving_up_nothing_is_sent_and_nothing_is_lost(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox)
    await happened(sql, 1, 2)
    await outbox.spread(event(1), ["subscription-1"], NOW)
    [first] = await outbox.claim(NOW, LATER, 10)
    assert await outbox.give_up(first, NOW)
    assert await _status(outbox) == "error"
    await outbox.spread(event(2), ["subscription-1"], NOW)
    assert await outbox.claim(LATER, LATER, 10) == []
    tally = await outbox.tally()
    assert (tally.waiting, tally.in_error) == (2, 1)

    await outbox.resubscribe(subscription(), LATER)
    sent: list[Delivery] = []
    while found := await outbox.claim(LATER, LATER + timedelta(minutes=1), 10):
        sent += found
        await outbox.delivered(found[0], LATER)
    assert [(one.number, one.attempt) for one in sent] == [(0, 1), (1, 1), (2, 1)]
    assert await _status(outbox) == "active"


async def test_one_that_is_off_gets_nothing_and_counts_nothing(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox)
    await happened(sql, 1)
    await outbox.resubscribe(subscription(status="off"), NOW)
    await outbox.spread(event(1), ["subscription-1"], NOW)
    assert await outbox.claim(LATER, LATER, 10) == []
    found = await outbox.subscription("subscription-1")
    assert found == subscription(status="off")


async def test_a_handshake_on_its_way_does_not_activate_what_was_changed_meanwhile(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await outbox.subscribe(subscription(), NOW)
    [old] = await outbox.claim(NOW, LATER, 10)
    await outbox.resubscribe(subscription(resource={"resourceType": "Subscription"}), NOW)
    await outbox.delivered(old, NOW)
    assert await _status(outbox) == "requested"
    [new] = await outbox.claim(NOW, LATER, 10)
    assert new.subscription.resource == {"resourceType": "Subscription"}


async def test_what_is_removed_is_gone_with_all_that_waited(sql: SqlStore) -> None:
    outbox = sql.outbox()
    await opened_subscription(outbox)
    await happened(sql, 1)
    await outbox.spread(event(1), ["subscription-1"], NOW)
    [held] = await outbox.claim(NOW, LATER, 10)
    await outbox.unsubscribe("subscription-1")
    await outbox.delivered(held, NOW)
    assert await outbox.subscription("subscription-1") is None
    assert (await outbox.tally()).waiting == 0


def test_processes_that_share_an_outbox_send_each_thing_once(database: str) -> None:
    _run(database, "await prepare(store)").check_returncode()
    started = [_start(database, "await drain(store)") for _ in range(2)]
    ended = [process.communicate(timeout=60) for process in started]
    assert [process.returncode for process in started] == [0, 0], ended
    told = [line for out, _ in ended for line in out.splitlines()]
    expected = [f"subscription-{one} {number}" for one in range(1, 7) for number in range(4)]
    assert sorted(told) == sorted(expected)
    # Within one subscription the order holds across processes; here: nobody got 3 who had not got 2.
    assert len(told) == len(set(told))


SCRIPT = """
import asyncio
from datetime import timedelta
from service.store.sql import open_store
from tests.contract.cases import NOW
from tests.contract.test_outbox import event, happened, subscription
SOME = [f"subscription-{{n}}" for n in range(1, 7)]
async def prepare(store):
    for n in range(1, 7):
        await store.outbox().subscribe(subscription(n), NOW)
    await happened(store, 1, 2, 3)
async def drain(store):
    outbox = store.outbox()
    until = NOW + timedelta(hours=1)
    idle = 0
    while idle < 20:
        for one in await outbox.untold(10):
            await outbox.spread(one, SOME, NOW)
        found = await outbox.claim(NOW, until, 2)
        for delivery in found:
            print(delivery.subscription.id, delivery.number, flush=True)
            await outbox.delivered(delivery, NOW)
        idle = 0 if found else idle + 1
        await asyncio.sleep(0 if found else 0.05)
async def main():
    store = open_store({database!r})
    {work}
    await store.close()
asyncio.run(main())
"""


def _start(database: str, work: str) -> subprocess.Popen[str]:
    script = SCRIPT.format(database=database, work=work)
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(database: str, work: str) -> subprocess.CompletedProcess[str]:
    process = _start(database, work)
    out, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)


async def _status(outbox: SqlOutbox) -> str | None:
    found = await outbox.subscription("subscription-1")
    return None if found is None else found.status
