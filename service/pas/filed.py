"""A stored case beside the request that it answers, read again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from service.fhir.bundle import Entries
from service.pas.elements import Json, listed
from service.pas.intake import Received, bundle_of
from service.policy.case import Case, CaseId, CaseLine, MemberId
from service.policy.dates import DatePeriod, PartialDate
from service.ports import Store
from service.settings import Settings
from service.wire import read_json


@dataclass(frozen=True, slots=True)
class Filed:
    """A case and its request; `items` are the Claim.items of its lines by sequence.

    `earlier` are the versions of the request that it has replaced, newest first.
    """

    case: Case
    received: Received
    items: Mapping[int, Json]
    earlier: tuple[Case, ...] = field(default=())

    def serviced(self, sequence: int) -> DatePeriod | None:
        """When the line's service was asked for."""
        return requested_period(self.received.claim, self.items[sequence])

    def authorization_numbers(self, sequence: int) -> frozenset[str]:
        """Those that the line has or had: an old one goes on meaning the current version (spec-47, spec-48)."""
        lines = self._versions(sequence)
        previous = (line.previous.number for line in lines if line.previous)
        return frozenset([*(line.authorization_number for line in lines if line.authorization_number), *previous])

    def reference_numbers(self, sequence: int) -> frozenset[str]:
        """Those that the line has or had while nothing was authorized."""
        return frozenset(line.reference_number for line in self._versions(sequence))

    def _versions(self, sequence: int) -> list[CaseLine]:
        lines = (line for case in (self.case, *self.earlier) for line in case.lines)
        return [line for line in lines if line.determination.sequence == sequence]

    def claim_identifiers(self) -> frozenset[str]:
        """ "system|value" of the Claim.identifiers of every version."""
        return frozenset(name for case in (self.case, *self.earlier) for name in case.claim_identifiers)


def items_of(case: Case, claim: Json) -> dict[int, Json]:
    """Claim.items by sequence; a line that this version of the request leaves out, as it was asked for before."""
    carried = {line.determination.sequence: dict(line.carried) for line in case.lines if line.carried is not None}
    return carried | {item["sequence"]: item for item in listed(claim, "item")}


def filed(case: Case, body: bytes, settings: Settings) -> Filed:
    """Index a stored request again; it was checked when it was accepted."""
    request = bundle_of(read_json(body, settings))
    entries = Entries.of(request)
    claim = entries.all_entries[0].resource
    return Filed(case, Received(request, entries, claim), items_of(case, claim))


async def filed_for(store: Store, members: Sequence[str], settings: Settings) -> list[Filed]:
    """The current versions of all cases of these member ids, newest first."""
    stored = [found for member in members for found in await store.cases_of(MemberId(member))]
    by_id = {case.id: case for case, _ in stored}
    current = [filed(case, body, settings) for case, body in stored if case.replaced_by not in by_id]
    return [_with_earlier(found, by_id) for found in current]


def _with_earlier(found: Filed, by_id: Mapping[CaseId, Case]) -> Filed:
    return Filed(found.case, found.received, found.items, tuple(_chain(found.case, by_id)))


def _chain(case: Case, by_id: Mapping[CaseId, Case]) -> Iterator[Case]:
    before = by_id.get(case.replaces) if case.replaces else None
    while before is not None:
        yield before
        before = by_id.get(before.replaces) if before.replaces else None


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
