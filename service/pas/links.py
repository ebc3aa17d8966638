"""Earlier cases that a request touches: the one that it updates, and those that overlap it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.pas.elements import identifier_of, listed, object_of, text_of
from service.pas.filed import Filed, requested_period
from service.pas.intake import Received
from service.policy.case import CaseId, ClientId
from service.policy.dates import DatePeriod
from service.policy.decision import Outcome
from service.policy.determination import Determination, LineDetermination

_OPEN: Final = frozenset({Outcome.PENDED, Outcome.APPROVED, Outcome.MODIFIED})


@dataclass(frozen=True, slots=True)
class Linked:
    """The determination with a note on each line that overlaps an earlier case, and those cases."""

    determination: Determination
    cases: tuple[CaseId, ...]


def link(received: Received, determination: Determination, earlier: Sequence[Filed], client: ClientId) -> Linked:
    """Note overlaps (contract: linked and noted, never deciding) and find the case that an update is about."""
    updated = updated_case(received, earlier, client)
    cases: list[CaseId] = [updated.case.id] if updated else []
    items = {item["sequence"]: item for item in listed(received.claim, "item")}
    lines = []
    for line in determination.lines:
        overlapping = [
            found
            for found in earlier
            if found is not updated and _overlaps(line, requested_period(received.claim, items[line.sequence]), found)
        ]
        cases += [found.case.id for found in overlapping]
        added = (_note(overlapping, client),) if overlapping else ()
        lines.append(replace(line, notes=line.notes + added))
    return Linked(Determination(tuple(lines)), tuple(dict.fromkeys(cases)))


def updated_case(received: Received, earlier: Sequence[Filed], client: ClientId) -> Filed | None:
    """The newest case of this client that Claim.related refers to.

    Identifiers and fullUrls repeat in practice (pas.md trap 10), and a client may name its own Claim or the id
    that we gave (trap 11); so all of these are tried, among the member's cases of the same client only.
    """
    names = set(_related(received))
    return next((found for found in earlier if found.case.client == client and names & set(_names(found))), None)


def _related(received: Received) -> Iterator[str]:
    for related in listed(received.claim, "related"):
        reference = object_of(related, "claim")
        if reference is None:
            continue
        prior = received.entries.resolve(reference, within=received.claim, by_identifier=True)
        full_url = received.entries.full_url_of(prior) if prior is not None else None
        literal = text_of(reference, "reference")
        logical = identifier_of(reference)
        yield from (text for text in (full_url, literal, _last(literal)) if text)
        if logical is not None:
            yield f"{logical[0] or ''}|{logical[1]}"


def _names(found: Filed) -> Iterator[str]:
    yield found.case.id
    yield from found.case.claim_identifiers
    full_url = found.received.entries.full_url_of(found.received.claim)
    if full_url:
        yield full_url
        last = _last(full_url)
        if last:
            yield f"Claim/{last}"


def _last(reference: str | None) -> str | None:
    return reference.rpartition("/")[2] if reference and "/" in reference else None


def _overlaps(line: LineDetermination, requested: DatePeriod | None, found: Filed) -> bool:
    wanted = line.period or requested
    if line.policy is None or wanted is None:
        return False
    for other in (case_line.determination for case_line in found.case.lines):
        same = other.policy is not None and other.policy.id == line.policy.id and other.outcome in _OPEN
        taken = other.period or found.serviced(other.sequence)
        if same and taken is not None and taken.overlaps(wanted):
            return True
    return False


def _note(overlapping: Sequence[Filed], client: ClientId) -> str:
    """One sentence however many there are; a number is told to nobody but the client that has it."""
    states = {"open" if found.case.outcome is Outcome.PENDED else "approved" for found in overlapping}
    state = " or ".join(sorted(states, reverse=True))
    text = f"Another request for the same member and policy is {state} for overlapping dates"
    if len(overlapping) > 1:
        text = f"{len(overlapping)} other requests for the same member and policy are {state} for overlapping dates"
    own = next((found.case for found in overlapping if found.case.client == client), None)
    if own is None:
        return f"{text}."
    newest = "" if len(overlapping) == 1 else "your newest is "
    return f"{text}: {newest}{own.authorization_number or own.lines[0].reference_number}."
