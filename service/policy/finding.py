"""What an evaluation found for each criterion, with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.policy.model import Criterion, LinkId


class Status(StrEnum):
    """Three values, always: unknown is never yes and never no."""

    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that was read: the kind of record, where in it, and what it says."""

    source: str
    path: str
    shown: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A criterion's status. Met and unmet rest on evidence; unknown says what is missing or in conflict."""

    criterion: Criterion
    status: Status
    evidence: tuple[Evidence, ...]
    missing: tuple[LinkId, ...]
    conflicts: tuple[Evidence, ...]

    def __post_init__(self) -> None:
        if self.status is Status.UNKNOWN:
            if not self.missing and not self.conflicts:
                raise ValueError(f"{self.criterion.id}: unknown without saying what is missing")
        elif not self.evidence:
            raise ValueError(f"{self.criterion.id}: {self.status} without evidence")


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """What the criteria library returned for one criterion. `holds` is None where CQL answered null."""

    holds: bool | None
    evidence: tuple[Evidence, ...] = ()
    conflicts: tuple[Evidence, ...] = ()


def assess(
    criteria: Iterable[Criterion],
    results: Mapping[str, CriterionResult],
    *,
    missing: frozenset[LinkId],
    doubts: Mapping[LinkId, tuple[Evidence, ...]],
) -> tuple[Finding, ...]:
    """One finding per criterion, in the policy's order.

    `missing` are the questions that were asked and have no counting answer; `doubts` are answers that were
    given and do not count, with what was found. A doubt about any of a criterion's questions makes the
    criterion unknown, unless an undoubted answer to another of its questions already made it unmet.
    """
    return tuple(_finding(criterion, results, missing, doubts) for criterion in criteria)


def _finding(
    criterion: Criterion,
    results: Mapping[str, CriterionResult],
    missing: frozenset[LinkId],
    doubts: Mapping[LinkId, tuple[Evidence, ...]],
) -> Finding:
    result = results[criterion.define]
    doubtful = tuple(item for link_id in criterion.link_ids for item in doubts.get(link_id, ()))
    status = _status(result, doubtful, criterion)
    unanswered = tuple(link_id for link_id in criterion.link_ids if link_id in missing)
    if status is Status.UNKNOWN and not (unanswered or doubtful or result.conflicts):
        # The logic could not settle answers that were given (for example a year instead of a day): ask again.
        unanswered = criterion.link_ids
    return Finding(
        criterion=criterion,
        status=status,
        evidence=result.evidence,
        missing=unanswered if status is Status.UNKNOWN else (),
        conflicts=result.conflicts + doubtful,
    )


def _status(result: CriterionResult, doubtful: tuple[Evidence, ...], criterion: Criterion) -> Status:
    if result.holds is None or result.conflicts or not result.evidence:
        return Status.UNKNOWN
    answered = any(item.path in criterion.link_ids for item in result.evidence)
    if doubtful and (result.holds or not answered):
        return Status.UNKNOWN
    return Status.MET if result.holds else Status.UNMET
