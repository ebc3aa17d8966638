"""What is measured of a PAS call is kept: PASMetricData (metric_data.py), one row for each call."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from service.errors import ServiceError, StoreFailed
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.pas.dependencies import PasDependencies
from service.pas.filed import Filed, filed
from service.pas.metric_data import Measured, Operation, Story, metric_data
from service.policy.case import Case, CaseId
from service.ports import AuditEntry, Caller, Exchange, Store

METRIC_DATA: Final = "pas-metric-data"
"""The kind of exchange that holds a call's PASMetricData as its response; it keeps neither body."""

_SCOPES: Final[dict[Operation, str]] = {
    "submit": "system/Claim.cu",
    "attach": "system/Claim.cu",
    "inquire": "system/Claim.rs",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and the case that it is about where it is about one."""

    response: Response
    case_id: CaseId | None = None


async def measured(
    request: Request,
    answer: Callable[[Caller], Awaitable[Told]],
    dependencies: PasDependencies,
    operation: Operation,
) -> Response:
    """Answer a caller who may do it, and keep what is measured of it. Errors go on to the application.

    A call of nobody we know is not measured. What cannot be kept is logged: the answer is given all the same.
    """
    requested_at = dependencies.clock.now()
    caller = await dependencies.access(request, _SCOPES[operation])
    status, issues, case_id = 500, tuple[tuple[str, str], ...](), None
    try:
        told = await answer(caller)
        status, case_id = told.response.status_code, told.case_id
    except ServiceError as error:
        status = answer_for(error).status
        issues = tuple((str(one["code"]), str(one["diagnostics"])) for one in operation_outcome(error)["issue"])
        raise
    finally:
        times = (requested_at, dependencies.clock.now())
        found, story = await _about(case_id, dependencies)
        await _keep(Measured(operation, caller.client, *times, status, issues, found, story), dependencies)
    return told.response


async def _about(case_id: CaseId | None, dependencies: PasDependencies) -> tuple[Filed | None, Story | None]:
    try:
        stored = await dependencies.store.case(case_id) if case_id else None
        if stored is None:
            return None, None
        return filed(*stored, dependencies.settings), await _story(stored[0], dependencies.store)
    except StoreFailed:
        return None, None


async def _story(case: Case, store: Store) -> Story:
    versions = [case]
    while (before := versions[0].replaces) and (found := await store.case(before)):
        versions.insert(0, found[0])
    if len(versions) == 1 and case.revision == 1:
        # Nothing happened before this answer, or after it.
        answer = {line.determination.sequence: line.determination.outcome.value for line in case.lines}
        return Story(versions, [answer], ())
    trail = [entry for one in versions for entry in await store.audit(one.id)]
    arrived = [one.control_number for version in versions for one in await store.attachments(version.id)]
    return Story(versions, list(_answers(trail)), arrived)


def _answers(trail: Sequence[AuditEntry]) -> Iterator[dict[int, str]]:
    """The lines of each determination by rules or by a reviewer; a provider is told each of them."""
    for entry in trail:
        determination = json.loads(entry.document).get("determination")
        if determination:
            yield {line["sequence"]: line["decision"] for line in determination["lines"]}


async def _keep(call: Measured, dependencies: PasDependencies) -> None:
    row = Exchange(
        id=dependencies.ids.new(),
        kind=METRIC_DATA,
        client=call.client,
        requested_at=call.requested_at,
        answered_at=call.answered_at,
        status=call.status,
        request=b"",
        response=encode(metric_data(call, dependencies)),
    )
    try:
        await dependencies.store.log_exchange(row)
    except StoreFailed:
        _log.error("a call could not be measured", extra={"client": call.client})
