"""Earlier cases that overlap a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from service.pas.elements import listed
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
    """Note overlaps with the current versions of other cases (contract: linked and noted, never deciding)."""
    cases: list[CaseId] = []
    items = {item["sequence"]: item for item in listed(received.claim, "item")}
    lines = []
    for line in determination.lines:
        wanted = requested_period(received.claim, items[line.sequence])
        overlapping = [found for found in earlier if _overlaps(line, wanted, found)]
        cases += [found.case.id for found in overlapping]
        added = (_note(overlapping, client),) if overlapping else ()
        lines.append(replace(line, notes=line.notes + added))
    return Linked(Determination(tuple(lines)), tuple(dict.fromkeys(cases)))


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
