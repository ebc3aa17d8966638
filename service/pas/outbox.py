"""The port of what PAS tells its subscribers; service.store.outbox keeps it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from service.policy.case import ClientId
from service.ports import Delivery, Event, Subscription, Tally


class Outbox(Protocol):
    """Subscriptions, and what is to be told to them: at least once, in order, by any of several processes."""

    async def subscribe(self, subscription: Subscription, due: datetime) -> None:
        """Saves a new one, with its handshake due then."""
        ...

    async def resubscribe(self, subscription: Subscription, due: datetime) -> None:
        """Replaces status and resource. Unless it is off, a new handshake is due then, and what waits after it."""
        ...

    async def unsubscribe(self, subscription_id: str) -> None:
        """Forgets it and everything that was to be told to it."""
        ...

    async def subscription(self, subscription_id: str) -> Subscription | None: ...

    async def subscriptions_of(self, client: ClientId) -> Sequence[Subscription]: ...

    async def hasten(self, subscription_id: str, now: datetime) -> None:
        """Makes what nobody has tried to send yet due now."""
        ...

    async def untold(self, limit: int) -> Sequence[Event]:
        """Events that were not spread yet, oldest first."""
        ...

    async def spread(self, event: Event, subscription_ids: Sequence[str], now: datetime) -> None:
        """Makes the event the next one of each of these subscriptions, once, whoever else tries."""
        ...

    async def claim(self, now: datetime, until: datetime, limit: int) -> Sequence[Delivery]:
        """The first waiting notification of each subscription that is due; nobody else gets it before `until`."""
        ...

    async def delivered(self, delivery: Delivery, now: datetime) -> None:
        """It has arrived; a handshake makes its subscription active. Nothing, when the lease was lost."""
        ...

    async def postpone(self, delivery: Delivery, due: datetime) -> None:
        """It has not arrived, and is tried again then. Nothing, when the lease was lost."""
        ...

    async def give_up(self, delivery: Delivery, now: datetime) -> bool:
        """Its subscription is in error; what waits is kept. False, and nothing, when the lease was lost."""
        ...

    async def tally(self) -> Tally: ...

    async def forget(self, before: datetime, limit: int) -> int:
        """Forgets at most about `limit` of what is over since then, and says how many that were.

        Over are notifications that arrived, those of a subscription in error or switched off, and events that nobody
        is to be told any more. Handshakes stay, and no number of an event is used again.
        """
        ...
