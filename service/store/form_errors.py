"""What clients reported about our forms: kept apart from everything that is about a patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Table, Text, func, insert, select

from service.policy.case import ClientId
from service.store.codec import read_json, write_json
from service.store.members import Transactions
from service.store.tables import Instant, metadata

MOST_PER_HOUR: Final = 100
"""So many reports of one client are kept; more tell nothing new."""

form_errors = Table(
    "form_errors",
    metadata,
    Column("position", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("client", Text, nullable=False),
    Column("at", Instant, nullable=False),
    Column("report", Text, nullable=False),
    Index(None, "client", "at"),
)


@dataclass(frozen=True, slots=True)
class FormError:
    """One report: who sent it, when, and what was kept of it."""

    client: ClientId
    at: datetime
    report: Mapping[str, Any]


class SqlFormErrors:
    """Reports in the database, oldest first."""

    def __init__(self, read: Transactions, write: Transactions) -> None:
        self._read = read
        self._write = write

    async def save_form_error(self, client: ClientId, report: Mapping[str, Any], at: datetime) -> bool:
        """False when the client has sent so many within the hour that this one was not kept."""
        kept: bool = await self._write(lambda connection: _save(connection, FormError(client, at, report)))
        return kept

    async def form_errors(self) -> Sequence[FormError]:
        """All reports that were kept."""
        wanted = select(form_errors).order_by(form_errors.c.position)
        rows = await self._read(lambda connection: connection.execute(wanted).all())
        return [FormError(row.client, row.at, read_json(row.report)) for row in rows]


class MemoryFormErrors:
    """The same, forgotten when it is let go of."""

    def __init__(self) -> None:
        self._kept: list[FormError] = []

    async def save_form_error(self, client: ClientId, report: Mapping[str, Any], at: datetime) -> bool:
        lately = [each for each in self._kept if each.client == client and each.at > _hour_before(at)]
        if len(lately) >= MOST_PER_HOUR:
            return False
        self._kept.append(FormError(client, at, report))
        return True

    async def form_errors(self) -> Sequence[FormError]:
        return list(self._kept)


def _save(connection: Connection, error: FormError) -> bool:
    lately = select(func.count()).where(
        form_errors.c.client == error.client, form_errors.c.at > _hour_before(error.at)
    )
    if connection.execute(lately).scalar_one() >= MOST_PER_HOUR:
        return False
    row = {"client": error.client, "at": error.at, "report": write_json(error.report)}
    connection.execute(insert(form_errors).values(row))
    return True


def _hour_before(at: datetime) -> datetime:
    return at - timedelta(hours=1)
