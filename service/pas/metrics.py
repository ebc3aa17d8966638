"""What is measured of a PAS call: PASMetricData of PAS 2.2.1, as the payer sees it, without the patient."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from service.errors import ServiceError, StoreFailed
from service.fhir.build import Json, coding
from service.fhir.canonical import CRD_COVERAGE_INFORMATION, LOINC, NPI, PAS_REQUESTED_SERVICE
from service.fhir.json import encode
from service.fhir.outcome import answer_for, operation_outcome
from service.pas.dependencies import PasDependencies
from service.pas.elements import codings, extensions, object_of, text_of
from service.pas.filed import Filed, filed
from service.policy.case import CaseId, ClientId
from service.policy.decision import Outcome
from service.policy.review import WAITING
from service.ports import Caller, Exchange

METRIC_DATA: Final = "pas-metric-data"
"""The kind of exchange that holds a call's PASMetricData as its response; it keeps neither body."""

# PASMetricData.itemDetail.result has no word for an error, and one for all that waits.
_RESULTS: Final = {
    Outcome.APPROVED: "approved",
    Outcome.MODIFIED: "modified",
    Outcome.DENIED: "denied",
    Outcome.PENDED: "pended",
    Outcome.NOT_COVERED_BY_POLICY: "pended",
    Outcome.CANCELLED: "cancelled",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Told:
    """An answer, and the case that it is about where it is about one."""

    response: Response
    case_id: CaseId | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """One call: $submit or $inquire (`asks`), when, by whom, how it ended, and the case behind it."""

    asks: bool
    client: ClientId
    requested_at: datetime
    answered_at: datetime
    status: int
    issues: tuple[str, ...]
    filed: Filed | None


async def measured(
    request: Request,
    answer: Callable[[Caller], Awaitable[Told]],
    dependencies: PasDependencies,
    *,
    asks: bool,
) -> Response:
    """Answer a caller who may submit, or ask, and keep what is measured of it. Errors go on to the application.

    A call of nobody we know is not measured. What cannot be kept is logged: the answer is given all the same.
    """
    requested_at = dependencies.clock.now()
    caller = await dependencies.access(request, "system/Claim.rs" if asks else "system/Claim.cu")
    status, issues, case_id = 500, tuple[str, ...](), None
    try:
        told = await answer(caller)
        status, case_id = told.response.status_code, told.case_id
    except ServiceError as error:
        status = answer_for(error).status
        issues = tuple(str(issue["code"]) for issue in operation_outcome(error)["issue"])
        raise
    finally:
        times = (requested_at, dependencies.clock.now())
        found = await _filed(case_id, dependencies)
        await _keep(Measured(asks, caller.client, *times, status, issues, found), dependencies)
    return told.response


async def _filed(case_id: CaseId | None, dependencies: PasDependencies) -> Filed | None:
    try:
        stored = await dependencies.store.case(case_id) if case_id else None
    except StoreFailed:
        return None
    return filed(*stored, dependencies.settings) if stored else None


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


def metric_data(call: Measured, dependencies: PasDependencies) -> Json:
    """The logical model PASMetricData as JSON. What a refused call does not tell is left out."""
    settings = dependencies.settings
    case = call.filed.case if call.filed else None
    providers = sorted(case.providers) if case else []
    return {
        "source": "payer-src",
        **({"providerId": {"system": NPI, "value": providers[0]}} if providers else {}),
        "groupId": {"value": call.client},
        "payerId": {"system": settings.payer_id_system, "value": settings.payer_id},
        "exchange": [
            {
                "type": _exchange_type(call),
                "with": "provider",
                "method": "restful",
                "requestTime": call.requested_at.isoformat(),
                "responseTime": call.answered_at.isoformat(),
                "httpResponse": str(call.status),
            }
        ],
        **_listed("issue", [{"code": code} for code in call.issues]),
        **_listed("aaaCodes", list(_rejects(call, dependencies))),
        **_listed("itemDetail", list(_items(call.filed, dependencies)) if call.filed else []),
        **_listed("requestedDoc", list(_documents(call.filed)) if call.filed else []),
    }


def _exchange_type(call: Measured) -> str:
    """What a call was; one that was refused before anything was filed counts as the first of its kind."""
    if call.asks:
        return "query"
    if call.filed is None or call.filed.case.replaces is None:
        return "initial"
    case = call.filed.case
    cancelled = all(line.determination.outcome is Outcome.CANCELLED for line in case.lines)
    return "cancel" if cancelled else "update"


def _rejects(call: Measured, dependencies: PasDependencies) -> Iterator[Json]:
    """X12 AAA: the loop and the code of each refusal."""
    if call.filed is None or call.filed.case.outcome is not Outcome.ERROR:
        return
    lines = call.filed.case.lines
    for key in dict.fromkeys(obstacle.code for line in lines for obstacle in line.determination.obstacles):
        reject = dependencies.codes.rejects[key]
        yield {"loopID": reject.element.partition("-")[0], "aaaCode": reject.code}


def _items(found: Filed, dependencies: PasDependencies) -> Iterator[Json]:
    case = found.case
    for line in case.lines:
        outcome = line.determination.outcome
        item = found.items[line.determination.sequence]
        # Codes only: a text may say anything, also about the patient.
        said = codings(item.get("productOrService"))
        decided = outcome not in WAITING | {Outcome.ERROR}
        denied_as = dependencies.codes.decision_reasons.get(outcome) if outcome is Outcome.DENIED else None
        assertion = _assertion(item, found)
        yield {
            "item": {"coding": [coding(*one) for one in said]} if said else {"text": "no code"},
            **({"assertionId": assertion} if assertion else {}),
            "initialSubmissionTime": case.received_at.isoformat(),
            **({"finalResponseTime": (line.issued_at or case.decided_at).isoformat()} if decided else {}),
            **({"result": _RESULTS[outcome]} if outcome in _RESULTS else {}),
            **({"denialReason": denied_as} if denied_as else {}),
        }


def _assertion(item: Mapping[str, Any], found: Filed) -> str | None:
    """The coverage-assertion-id that CRD left on the order behind the line (pas.md 1.11)."""
    for requested in extensions(item, PAS_REQUESTED_SERVICE):
        reference = object_of(requested, "valueReference")
        order = found.received.entries.resolve(reference, within=found.received.claim)
        for information in extensions(order or {}, CRD_COVERAGE_INFORMATION):
            for part in extensions(information, "coverage-assertion-id"):
                return text_of(part, "valueString")
    return None


def _documents(found: Filed) -> Iterator[Json]:
    for asked in found.case.asked:
        code = {"coding": [coding(LOINC, asked.loinc)]} if asked.loinc else {"text": "payer questionnaire"}
        yield {
            "docRequest": [code],
            "timeRequested": asked.asked_at.isoformat(),
            **({"timeSubmitted": asked.answered_at.isoformat()} if asked.answered_at else {}),
        }


def _listed(name: str, values: list[Json]) -> Json:
    return {name: values} if values else {}
