"""A stored case beside the request that it answers, read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.fhir.bundle import Entries
from service.pas.elements import Json, listed
from service.pas.intake import Received, bundle_of
from service.policy.case import Case, MemberId
from service.policy.dates import DatePeriod, PartialDate
from service.ports import Store
from service.settings import Settings
from service.wire import read_json


@dataclass(frozen=True, slots=True)
class Filed:
    """A case and its request; `items` are its Claim.items by sequence."""

    case: Case
    received: Received
    items: Mapping[int, Json]

    def serviced(self, sequence: int) -> DatePeriod | None:
        """When the line's service was asked for."""
        return requested_period(self.received.claim, self.items[sequence])


def filed(case: Case, body: bytes, settings: Settings) -> Filed:
    """Index a stored request again; it was checked when it was accepted."""
    request = bundle_of(read_json(body, settings))
    entries = Entries.of(request)
    claim = entries.all_entries[0].resource
    return Filed(case, Received(request, entries, claim), {item["sequence"]: item for item in listed(claim, "item")})


async def filed_for(store: Store, members: Sequence[str], settings: Settings) -> list[Filed]:
    """All cases of these member ids, newest first."""
    from_store = [found for member in members for found in await store.cases_of(MemberId(member))]
    return [filed(case, body, settings) for case, body in from_store]


def requested_period(claim: Json, item: Json) -> DatePeriod | None:
    """The days between the earliest and the latest that serviced[x] (else Claim.created) may stand for."""
    written = item.get("servicedPeriod")
    start, end = (
        (written.get("start"), written.get("end")) if isinstance(written, dict) else (item.get("servicedDate"), None)
    )
    first = _date(start) or _date(end) or _date(claim.get("created"))
    if first is None:
        return None
    last = _date(end) or first
    return DatePeriod(first.earliest(), max(first.earliest(), last.latest()))


def _date(value: object) -> PartialDate | None:
    return PartialDate.parse(value) if isinstance(value, str) else None
