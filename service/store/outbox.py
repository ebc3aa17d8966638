"""service.pas.outbox.Outbox on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, delete, exists, func, insert, or_, select, tuple_, update

from service.policy.case import CaseId, ClientId
from service.ports import Delivery, Event, Subscription, Tally
from service.store.codec import read_json, write_json
from service.store.members import Transactions
from service.store.outbox_tables import deliveries, subscriptions
from service.store.tables import events


class SqlOutbox:
    """The port service.pas.outbox.Outbox. Several processes may share the database."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def subscribe(self, subscription: Subscription, due: datetime) -> None:
        await self._write(lambda connection: _subscribe(connection, subscription, due))

    async def resubscribe(self, subscription: Subscription, due: datetime) -> None:
        await self._write(lambda connection: _resubscribe(connection, subscription, due))

    async def unsubscribe(self, subscription_id: str) -> None:
        await self._write(lambda connection: _unsubscribe(connection, subscription_id))

    async def subscription(self, subscription_id: str) -> Subscription | None:
        wanted = select(subscriptions).where(subscriptions.c.id == subscription_id)
        row = await self._read(lambda connection: connection.execute(wanted).first())
        return None if row is None else _subscription(row)

    async def subscriptions_of(self, client: ClientId) -> Sequence[Subscription]:
        wanted = select(subscriptions).where(subscriptions.c.client == client).order_by(subscriptions.c.position)
        rows = await self._read(lambda connection: connection.execute(wanted).all())
        return [_subscription(row) for row in rows]

    async def hasten(self, subscription_id: str, now: datetime) -> None:
        untried = and_(deliveries.c.attempts == 0, deliveries.c.delivered_at.is_(None))
        unsent = and_(deliveries.c.subscription_id == subscription_id, untried)
        await self._write(lambda connection: connection.execute(update(deliveries).where(unsent).values(due_at=now)))

    async def untold(self, limit: int) -> Sequence[Event]:
        wanted = select(events).where(events.c.spread_at.is_(None)).order_by(events.c.position).limit(limit)
        rows = await self._read(lambda connection: connection.execute(wanted).all())
        return [Event(row.id, row.kind, CaseId(row.case_id), row.at) for row in rows]

    async def spread(self, event: Event, subscription_ids: Sequence[str], now: datetime) -> None:
        await self._write(lambda connection: _spread(connection, event, subscription_ids, now))

    async def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        return await self._write(lambda connection: _claim(connection, now, until, limit))

    async def delivered(self, delivery: Delivery, now: datetime) -> None:
        await self._write(lambda connection: _delivered(connection, delivery, now))

    async def postpone(self, delivery: Delivery, due: datetime) -> None:
        await self._write(lambda connection: _settle(connection, delivery, due_at=due))

    async def give_up(self, delivery: Delivery, now: datetime) -> bool:
        return await self._write(lambda connection: _give_up(connection, delivery, now))

    async def tally(self) -> Tally:
        waiting = select(func.count()).select_from(deliveries).where(deliveries.c.delivered_at.is_(None))
        in_error = select(func.count()).select_from(subscriptions).where(subscriptions.c.status == "error")
        counted = select(waiting.scalar_subquery(), in_error.scalar_subquery())
        found = await self._read(lambda connection: connection.execute(counted).one())
        return Tally(found[0], found[1])

    async def forget(self, before: datetime, limit: int) -> int:
        return await self._write(lambda connection: _forget(connection, before, limit))


def _forget(connection: Connection, before: datetime, limit: int) -> int:
    """Some at a time: SQLite has one writer, and it is not kept waiting."""
    arrived = deliveries.c.delivered_at < before
    ended = and_(
        deliveries.c.delivered_at.is_(None), subscriptions.c.status.in_(("error", "off")), events.c.at < before
    )
    over = (
        select(deliveries.c.subscription_id, deliveries.c.number)
        .select_from(deliveries.join(subscriptions).join(events, events.c.id == deliveries.c.event_id))
        .where(or_(arrived, ended))
        .limit(limit)
    )
    named = tuple_(deliveries.c.subscription_id, deliveries.c.number)
    told = connection.execute(delete(deliveries).where(named.in_(over))).rowcount
    told_to_nobody = ~exists().where(deliveries.c.event_id == events.c.id)
    spent = select(events.c.id).where(events.c.spread_at < before, told_to_nobody).limit(limit)
    return told + connection.execute(delete(events).where(events.c.id.in_(spent))).rowcount


def _subscribe(connection: Connection, subscription: Subscription, due: datetime) -> None:
    connection.execute(
        insert(subscriptions).values(
            id=subscription.id,
            client=subscription.client,
            guide_version=subscription.guide_version,
            status=subscription.status,
            resource=write_json(subscription.resource),
            made_at=subscription.made_at,
            events=subscription.events,
        )
    )
    _insert(connection, subscription.id, 0, None, due)


def _resubscribe(connection: Connection, subscription: Subscription, due: datetime) -> None:
    """Locks the subscription first, as every change of it does."""
    same = subscriptions.c.id == subscription.id
    changed = {"status": subscription.status, "resource": write_json(subscription.resource)}
    if not connection.execute(update(subscriptions).where(same).values(**changed)).rowcount:
        return
    if subscription.status == "off":
        return
    waiting = and_(deliveries.c.subscription_id == subscription.id, deliveries.c.delivered_at.is_(None))
    connection.execute(update(deliveries).where(waiting).values(attempts=0, due_at=due))
    # The claim goes up, so that whoever still sends the handshake before this one has lost it.
    renewed = {"attempts": 0, "due_at": due, "delivered_at": None, "claims": deliveries.c.claims + 1}
    connection.execute(update(deliveries).where(_is(subscription.id, 0)).values(**renewed))


def _unsubscribe(connection: Connection, subscription_id: str) -> None:
    connection.execute(delete(deliveries).where(deliveries.c.subscription_id == subscription_id))
    connection.execute(delete(subscriptions).where(subscriptions.c.id == subscription_id))


def _spread(connection: Connection, event: Event, subscription_ids: Sequence[str], now: datetime) -> None:
    first = and_(events.c.id == event.id, events.c.spread_at.is_(None))
    if not connection.execute(update(events).where(first).values(spread_at=now)).rowcount:
        return
    # In one order, so that two events spread at once cannot wait for each other.
    for subscription_id in sorted(subscription_ids):
        counted = (
            update(subscriptions)
            .where(subscriptions.c.id == subscription_id, subscriptions.c.status != "off")
            .values(events=subscriptions.c.events + 1)
            .returning(subscriptions.c.events)
        )
        number = connection.execute(counted).scalar()
        if number is not None:
            _insert(connection, subscription_id, number, event.id, now)


def _insert(connection: Connection, subscription_id: str, number: int, event_id: str | None, due: datetime) -> None:
    values = {"subscription_id": subscription_id, "number": number, "event_id": event_id}
    connection.execute(insert(deliveries).values(**values, due_at=due, attempts=0, claims=0))


def _claim(connection: Connection, now: datetime, until: datetime, limit: int) -> list[Delivery]:
    claimed = connection.execute(_due(now).limit(limit)).all()
    for row in claimed:
        leased = {"due_at": until, "attempts": row.attempts + 1, "claims": row.claims + 1}
        connection.execute(update(deliveries).where(_is(row.id, row.number)).values(**leased))
    return [
        Delivery(_subscription(row), row.number, _event(row), row.attempts + 1, row.claims + 1) for row in claimed
    ]


def _due(now: datetime) -> Select[Any]:
    """Only the first that waits for each subscription: events arrive in their order, after the handshake."""
    earlier = deliveries.alias()
    waits_for_another = exists().where(
        earlier.c.subscription_id == deliveries.c.subscription_id,
        earlier.c.delivered_at.is_(None),
        earlier.c.number < deliveries.c.number,
    )
    open_for_it = or_(
        subscriptions.c.status == "active", and_(subscriptions.c.status == "requested", deliveries.c.number == 0)
    )
    named = (events.c.kind, events.c.case_id, events.c.at)
    columns = (deliveries.c.number, deliveries.c.attempts, deliveries.c.claims, deliveries.c.event_id)
    return (
        select(subscriptions, *columns, *named)
        .select_from(deliveries.join(subscriptions).outerjoin(events, events.c.id == deliveries.c.event_id))
        .where(deliveries.c.delivered_at.is_(None), deliveries.c.due_at <= now, open_for_it, ~waits_for_another)
        .order_by(deliveries.c.due_at, subscriptions.c.position)
        # Another process's choice is passed over, not waited for. SQLite has one writer at a time.
        .with_for_update(of=deliveries, skip_locked=True)
    )


def _delivered(connection: Connection, delivery: Delivery, now: datetime) -> None:
    if _settle(connection, delivery, delivered_at=now) and delivery.number == 0:
        requested = and_(subscriptions.c.id == delivery.subscription.id, subscriptions.c.status == "requested")
        connection.execute(update(subscriptions).where(requested).values(status="active"))


def _give_up(connection: Connection, delivery: Delivery, now: datetime) -> bool:
    held = _settle(connection, delivery, due_at=now)
    if held:
        switched_on = subscriptions.c.status.in_(("requested", "active"))
        same = and_(subscriptions.c.id == delivery.subscription.id, switched_on)
        connection.execute(update(subscriptions).where(same).values(status="error"))
    return held


def _settle(connection: Connection, delivery: Delivery, **values: datetime) -> bool:
    held = and_(_is(delivery.subscription.id, delivery.number), deliveries.c.claims == delivery.claim)
    return bool(connection.execute(update(deliveries).where(held).values(**values)).rowcount)


def _is(subscription_id: str, number: int) -> Any:
    return and_(deliveries.c.subscription_id == subscription_id, deliveries.c.number == number)


def _subscription(row: Row[Any]) -> Subscription:
    return Subscription(
        id=row.id,
        client=ClientId(row.client),
        guide_version=row.guide_version,
        status=row.status,
        resource=read_json(row.resource),
        made_at=row.made_at,
        events=row.events,
    )


def _delivery(row: Row[Any]) -> Delivery:
    """As it is once the lease is counted."""
    return Delivery(_subscription(row), row.number, _event(row), row.attempts + 1, row.claims + 1)


def _event(row: Row[Any]) -> Event | None:
    return None if row.event_id is None else Event(row.event_id, row.kind, CaseId(row.case_id), row.at)
