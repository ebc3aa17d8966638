"""The determination of a request: findings and decision for each line, and its JSON (contract.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from service.policy.dates import DatePeriod
from service.policy.decision import Decision, Obstacle, Outcome, overall
from service.policy.finding import Evidence, Finding
from service.policy.model import PathwayName, PolicyRef

GRANTED: Final = frozenset({Outcome.APPROVED, Outcome.MODIFIED})


@dataclass(frozen=True, slots=True)
class Granted:
    """What was authorized where it differs from the request; None is "as requested"."""

    quantity: Decimal | None = None
    unit: str | None = None
    serviced: DatePeriod | None = None

    def __post_init__(self) -> None:
        if self.quantity is None and self.serviced is None:
            raise ValueError("a modified line says what is granted instead")
        if self.quantity is not None and not (self.quantity.is_finite() and self.quantity > 0):
            raise ValueError("a granted quantity is positive")
        if self.unit is not None and self.quantity is None:
            raise ValueError("a unit belongs to a quantity")
        if self.serviced is not None and self.serviced.end < self.serviced.start:
            raise ValueError("a granted period ends after it starts")


@dataclass(frozen=True, slots=True)
class LineDetermination:
    """What was found and decided for one line, by rules or by a person.

    `policy` and `pathway` are None when no loaded policy revision matches. `notes` are numbered by position
    from 1 and become processNotes; `obstacles` are the reasons, beside criteria, why rules could not approve.
    `period` is there exactly when something is granted, `granted` exactly when it is less than was asked for.
    """

    sequence: int
    code: str | None
    decision: Decision
    period: DatePeriod | None
    policy: PolicyRef | None
    pathway: PathwayName | None
    findings: tuple[Finding, ...]
    obstacles: tuple[Obstacle, ...]
    notes: tuple[str, ...]
    granted: Granted | None = None

    def __post_init__(self) -> None:
        if (self.decision.outcome in GRANTED) != (self.period is not None):
            raise ValueError("a line has an authorized period exactly when something is granted")
        if (self.decision.outcome is Outcome.MODIFIED) != (self.granted is not None):
            raise ValueError("a line says what is granted instead exactly when it is modified")

    @property
    def outcome(self) -> Outcome:
        return self.decision.outcome


@dataclass(frozen=True, slots=True)
class Determination:
    """All lines of one request, in the request's order."""

    lines: tuple[LineDetermination, ...]

    @property
    def outcome(self) -> Outcome:
        return overall(line.outcome for line in self.lines)


def as_json(determination: Determination) -> dict[str, Any]:
    """The contract's JSON of `evaluate` and of the audit record."""
    return {
        "decision": determination.outcome.value,
        "lines": [_line(line) for line in determination.lines],
    }


def _line(line: LineDetermination) -> dict[str, Any]:
    return {
        "sequence": line.sequence,
        "code": line.code,
        "decision": line.outcome.value,
        "period": line.period and {"start": line.period.start.isoformat(), "end": line.period.end.isoformat()},
        "policy": line.policy
        and {"id": line.policy.id, "version": line.policy.version, "digest": line.policy.digest},
        "pathway": line.pathway,
        "criteria": [_criterion(finding) for finding in line.findings],
        "notes": list(line.notes),
    }


def _criterion(finding: Finding) -> Mapping[str, Any]:
    return {
        "id": finding.criterion.id,
        "status": finding.status.value,
        "text": finding.criterion.text,
        "citation": str(finding.criterion.citation),
        "evidence": [_evidence(item) for item in finding.evidence],
        "missing": list(finding.missing),
        "conflicts": [_evidence(item) for item in finding.conflicts],
    }


def _evidence(item: Evidence) -> dict[str, str]:
    return {"source": item.source, "path": item.path, "shown": item.shown}
