"""Calls that were kept for disputes, found again (CRD 2.2.1 found-37)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from service.policy.case import ClientId
from service.ports import Exchange
from service.store.members import Transactions
from service.store.tables import exchanges

MOST: Final = 1000
"""As many calls are listed at once."""


@dataclass(frozen=True, slots=True)
class CallSearch:
    """Calls from `since` until before `until`; of one client, and with a text in what was sent or answered."""

    since: datetime
    until: datetime
    client: ClientId | None = None
    about: str = ""


class SqlCalls:
    """Kept calls in the database."""

    def __init__(self, read: Transactions) -> None:
        self._read = read

    async def find(self, search: CallSearch) -> Sequence[Exchange]:
        """Those that are searched for, oldest first; no more than MOST."""
        return await self._read(lambda connection: _find(connection, search))

    async def call(self, call_id: str) -> Exchange | None:
        wanted = select(exchanges).where(exchanges.c.id == call_id)
        row = await self._read(lambda connection: connection.execute(wanted).first())
        return _exchange(row) if row else None


def _find(connection: Connection, search: CallSearch) -> Sequence[Exchange]:
    wanted = select(exchanges).where(
        exchanges.c.requested_at >= search.since, exchanges.c.requested_at < search.until
    )
    if search.client is not None:
        wanted = wanted.where(exchanges.c.client == search.client)
    in_order = wanted.order_by(exchanges.c.requested_at, exchanges.c.position).execution_options(yield_per=100)
    return list(islice(_about(connection.execute(in_order), search.about.encode()), MOST))


def _about(rows: Any, text: bytes) -> Iterator[Exchange]:
    return (_exchange(row) for row in rows if text in row.request or text in row.response)


def _exchange(row: Row[Any]) -> Exchange:
    return Exchange(
        id=row.id,
        kind=row.kind,
        client=ClientId(row.client),
        requested_at=row.requested_at,
        answered_at=row.answered_at,
        status=row.status,
        request=row.request,
        response=row.response,
    )
