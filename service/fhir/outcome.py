"""The one table from our errors to HTTP statuses and FHIR issue codes, and the OperationOutcome that says them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service import errors
from service.fhir.build import Json, concept, prune

UNEXPECTED: Final = (
    "The service failed. Nothing was decided; send the request again, or report it with its request id."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error is told: HTTP status, issue code (FHIR R4 issue-type), severity."""

    status: int
    code: str
    severity: str = "error"


_UNKNOWN: Final = Answer(500, "exception", "fatal")
_ANSWERS: Final[Mapping[type[BaseException], Answer]] = {
    errors.InvalidResource: Answer(400, "structure"),
    errors.MissingElement: Answer(400, "required"),
    errors.UnresolvedReference: Answer(400, "not-found"),
    errors.NotSupported: Answer(400, "not-supported"),
    errors.NotAuthenticated: Answer(401, "login"),
    errors.Forbidden: Answer(403, "forbidden"),
    errors.NotFound: Answer(404, "not-found"),
    errors.TooSlow: Answer(408, "timeout"),
    errors.Conflict: Answer(409, "conflict"),
    errors.PrefetchMissing: Answer(412, "incomplete"),
    errors.TooLarge: Answer(413, "too-costly"),
    errors.BusinessRule: Answer(422, "business-rule"),
    errors.EngineFailed: Answer(500, "exception", "fatal"),
    errors.InvalidPolicy: Answer(500, "exception", "fatal"),
    errors.EhrUnavailable: Answer(502, "transient"),
    errors.DeadlinePassed: Answer(503, "timeout"),
    errors.StoreFailed: Answer(503, "transient"),
}


def answer_for(error: BaseException) -> Answer:
    """Return the row of an error, of its nearest ancestor in the table, or that of an unexpected failure."""
    return next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), _UNKNOWN)


def operation_outcome(error: BaseException, *, request_id: str | None = None) -> Json:
    """Return the OperationOutcome of an error: one issue per fault, or one for the whole (PAS 2.2.1 spec-35).

    The text of anything that is not a ServiceError is fixed: it may carry what was received.
    """
    answer = answer_for(error)
    if not isinstance(error, errors.ServiceError):
        text = f"{UNEXPECTED} Request id: {request_id}." if request_id else UNEXPECTED
        return outcome(issue(answer.severity, answer.code, text))
    if error.faults:
        return outcome(*(_fault_issue(fault, answer) for fault in error.faults))
    return outcome(issue(answer.severity, answer.code, error.text, error.expression))


def _fault_issue(fault: errors.Fault, answer: Answer) -> Json:
    text = f"{fault.expression} {fault.problem}." if fault.expression else f"{fault.problem}."
    return issue(answer.severity, fault.code, text, (fault.expression,) if fault.expression else ())


def issue(severity: str, code: str, text: str, expression: Sequence[str] = ()) -> Json:
    """Return an OperationOutcome.issue; the text stands in details and diagnostics, as clients read either."""
    built: dict[str, Any] = {
        "severity": severity,
        "code": code,
        "details": concept(text=text),
        "diagnostics": text,
        "expression": list(expression),
    }
    pruned: Json = prune(built)
    return pruned


def outcome(*issues: Json) -> Json:
    """Return an OperationOutcome of one or more issues."""
    if not issues:
        raise ValueError("an OperationOutcome needs an issue")
    return {"resourceType": "OperationOutcome", "issue": list(issues)}
