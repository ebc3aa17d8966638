"""The line of a pended case that a context of our Task names: the form that it waits for."""

from __future__ import annotations

from service.policy.case import Case, CaseLine, ClientId
from service.policy.review import WAITING
from service.ports import Store


async def waiting_line(context: str, client: ClientId, store: Store) -> CaseLine | None:
    """The waiting line of this client's case that a context names."""
    found = await waiting_case(context, client, store)
    return found[1] if found else None


async def waiting_case(context: str, client: ClientId, store: Store) -> tuple[Case, CaseLine] | None:
    """This client's case, and its waiting line that was asked under this control number or has this trace number.

    PAS 2.2.1 profile-task: the questionnaire-context equals the line's trace number. What was sent without one is
    asked for by our control number. None for every other number, whosever it is.
    """
    case = await store.case_by_number(context)
    if case is not None and case.client == client:
        return _waiting(case, {one.sequence for one in case.asked if one.control_number == context})
    case = await store.case_by_trace(client, context)
    if case is None:
        return None
    return _waiting(case, {line.determination.sequence for line in case.lines if line.trace == context})


def _waiting(case: Case, sequences: set[int]) -> tuple[Case, CaseLine] | None:
    found = (line for line in case.lines if line.determination.sequence in sequences)
    return next(((case, line) for line in found if line.determination.outcome in WAITING), None)
