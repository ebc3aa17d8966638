"""What reviewers may do with the lines of a case, and who may do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from service.errors import BusinessRule, Conflict, Forbidden
from service.policy.case import Case, CaseLine, InfoRequest
from service.policy.dates import DatePeriod
from service.policy.decision import Clinician, Decision, Outcome, Reviewer
from service.policy.determination import Granted, LineDetermination

WAITING: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY})
"""Outcomes of lines that somebody still has to decide."""


@dataclass(frozen=True, slots=True)
class Approve:
    """Exactly what was requested, valid in `period`."""

    period: DatePeriod


@dataclass(frozen=True, slots=True)
class ApproveModified:
    """Less than was requested, or other dates, valid in `period`; the reason is told to the provider."""

    granted: Granted
    period: DatePeriod
    reason: str


@dataclass(frozen=True, slots=True)
class Deny:
    """Not medically necessary. `reason` is specific; `note` is what else the provider should know, may be empty."""

    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """The line keeps waiting until these are answered."""

    requests: tuple[InfoRequest, ...]


Verdict = Approve | ApproveModified | Deny | Ask


def apply(
    case: Case, verdicts: Mapping[int, Verdict], actor: Reviewer | Clinician, at: datetime, number: str
) -> Case:
    """The case with a person's verdicts, by line sequence; `number` is the case's authorization number.

    Conflict for a line that no longer waits and for a case that was replaced; Forbidden for a denial by anybody
    but a clinician; BusinessRule for what makes no sense. The findings of the rules stay on the line.
    """
    if case.replaced_by is not None:
        raise Conflict("The provider has changed this request since. Decide on its current version.")
    unknown = set(verdicts) - {line.determination.sequence for line in case.lines}
    if unknown or not verdicts:
        raise BusinessRule("A decision names at least one line, and lines of the case only.")
    lines = tuple(
        _decided(_dated(line, case), verdicts.get(line.determination.sequence), actor, number) for line in case.lines
    )
    asked = tuple(r for verdict in verdicts.values() if isinstance(verdict, Ask) for r in verdict.requests)
    return replace(case, lines=lines, asked=case.asked + asked, decided_at=at)


def _dated(line: CaseLine, case: Case) -> CaseLine:
    """A number that was given keeps its day, though the case is decided again now."""
    return replace(line, issued_at=line.issued_at or case.decided_at) if line.authorization_number else line


def _decided(line: CaseLine, verdict: Verdict | None, actor: Reviewer | Clinician, number: str) -> CaseLine:
    if verdict is None:
        return line
    if line.determination.outcome not in WAITING:
        raise Conflict("The line has been decided already.")
    decided = _determination(line.determination, verdict, actor)
    granted = decided.period is not None
    return replace(line, determination=decided, authorization_number=number if granted else None)


def _determination(line: LineDetermination, verdict: Verdict, actor: Reviewer | Clinician) -> LineDetermination:
    if isinstance(verdict, Approve):
        return replace(line, decision=Decision(Outcome.APPROVED, actor, ()), period=_period(verdict.period), notes=())
    if isinstance(verdict, ApproveModified):
        reasons = _told(verdict.reason)
        return replace(
            line,
            decision=Decision(Outcome.MODIFIED, actor, reasons),
            period=_period(verdict.period),
            granted=verdict.granted,
            notes=reasons,
        )
    if isinstance(verdict, Deny):
        if not isinstance(actor, Clinician):
            raise Forbidden("Only a clinician, named with NPI and specialty, denies a request.")
        reasons = _told(verdict.reason)
        notes = (*reasons, verdict.note.strip()) if verdict.note.strip() else reasons
        return replace(line, decision=Decision(Outcome.DENIED, actor, reasons), notes=notes)
    texts = tuple(request.text for request in verdict.requests)
    if not texts or any(request.sequence != line.sequence for request in verdict.requests):
        raise BusinessRule("A request for information asks for something, on the line that it is about.")
    return replace(line, decision=Decision(Outcome.PENDED, actor, texts), notes=(*line.notes, *texts))


def _told(reason: str) -> tuple[str]:
    if not reason.strip():
        raise BusinessRule("The decision needs a specific reason.")
    return (reason.strip(),)


def _period(period: DatePeriod) -> DatePeriod:
    if period.end < period.start:
        raise BusinessRule("The authorized period ends before it starts.")
    return period
