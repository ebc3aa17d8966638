"""Sealed sessions of the SMART app: their table and queries. What is inside only the app can read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, LargeBinary, String, Table, delete, insert, select, update

from service.store.members import Transactions
from service.store.tables import Instant, metadata

app_sessions = Table(
    "app_sessions",
    metadata,
    # Digests: neither names what a browser would have to send.
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False, index=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("until", Instant, nullable=False, index=True),
    # Counts up with every change, so that one made meanwhile is noticed.
    Column("revision", Integer, nullable=False),
)


@dataclass(frozen=True, slots=True)
class SealedRow:
    """One sealed text: its name, whose it is (digests), and when it ends."""

    name: str
    owner: str
    sealed: bytes = field(repr=False)
    until: datetime
    revision: int = 0


class SqlAppSessions:
    """Sealed rows in the database; several processes may share them."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def add(self, row: SealedRow) -> None:
        """Adds a row of a new name."""
        await self._write(lambda connection: connection.execute(insert(app_sessions).values(_columns(row))))

    async def row(self, name: str) -> SealedRow | None:
        found = await self._read(lambda connection: connection.execute(_named(name)).first())
        return _row(found) if found else None

    async def rows_of(self, owner: str) -> Sequence[SealedRow]:
        wanted = select(app_sessions).where(app_sessions.c.owner == owner).order_by(app_sessions.c.name)
        return [_row(found) for found in await self._read(lambda connection: connection.execute(wanted).all())]

    async def change(self, row: SealedRow) -> bool:
        """Replaces the row if it is still of that revision; False when it has ended, or was changed meanwhile."""
        wanted = (
            update(app_sessions)
            .where(app_sessions.c.name == row.name, app_sessions.c.revision == row.revision)
            .values(_columns(replace(row, revision=row.revision + 1)))
        )
        changed: bool = await self._write(lambda connection: connection.execute(wanted).rowcount == 1)
        return changed

    async def extend(self, name: str, until: datetime) -> None:
        """Lets a row end later."""
        wanted = update(app_sessions).where(app_sessions.c.name == name).values(until=until)
        await self._write(lambda connection: connection.execute(wanted))

    async def take(self, name: str) -> SealedRow | None:
        """The row, which is gone then: of several takers one gets it."""

        def taken(connection: Connection) -> SealedRow | None:
            found = connection.execute(_named(name).with_for_update()).first()
            gone = connection.execute(delete(app_sessions).where(app_sessions.c.name == name)).rowcount
            return _row(found) if found and gone else None

        row: SealedRow | None = await self._write(taken)
        return row

    async def drop_ended(self, now: datetime) -> None:
        """Deletes what ended before."""
        wanted = delete(app_sessions).where(app_sessions.c.until < now)
        await self._write(lambda connection: connection.execute(wanted))


class MemoryAppSessions:
    """The same, forgotten when it is let go of; with more than `most` rows the oldest go."""

    def __init__(self, most: int = 4000) -> None:
        self._rows: dict[str, SealedRow] = {}
        self._most = most

    async def add(self, row: SealedRow) -> None:
        while len(self._rows) >= self._most:
            self._rows.pop(next(iter(self._rows)))
        self._rows[row.name] = row

    async def row(self, name: str) -> SealedRow | None:
        return self._rows.get(name)

    async def rows_of(self, owner: str) -> Sequence[SealedRow]:
        return [row for row in self._rows.values() if row.owner == owner]

    async def change(self, row: SealedRow) -> bool:
        held = self._rows.get(row.name)
        if held is None or held.revision != row.revision:
            return False
        self._rows[row.name] = replace(row, revision=row.revision + 1)
        return True

    async def extend(self, name: str, until: datetime) -> None:
        if name in self._rows:
            self._rows[name] = replace(self._rows[name], until=until)

    async def take(self, name: str) -> SealedRow | None:
        return self._rows.pop(name, None)

    async def drop_ended(self, now: datetime) -> None:
        self._rows = {name: row for name, row in self._rows.items() if row.until >= now}


def _named(name: str) -> Any:
    return select(app_sessions).where(app_sessions.c.name == name)


def _columns(row: SealedRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "owner": row.owner,
        "sealed": row.sealed,
        "until": row.until,
        "revision": row.revision,
    }


def _row(found: Any) -> SealedRow:
    return SealedRow(found.name, found.owner, found.sealed, found.until, found.revision)
