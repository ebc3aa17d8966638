"""Who may decide what. Rules approve or pend; only a named clinician denies for medical necessity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.policy.finding import Finding, Status


class Outcome(StrEnum):
    """What became of one line, in the contract's words."""

    APPROVED = "approved"
    MODIFIED = "modified"
    PENDED = "pended"
    DENIED = "denied"
    CANCELLED = "cancelled"
    ERROR = "error"
    NOT_COVERED_BY_POLICY = "not-covered-by-policy"


@dataclass(frozen=True, slots=True)
class Clinician:
    """A person who answers with their name: NPI and specialty (NUCC taxonomy) as the reviewer extension needs."""

    name: str
    npi: str
    specialty: str

    def __post_init__(self) -> None:
        if not (self.name.strip() and self.npi.strip() and self.specialty.strip()):
            raise ValueError("a clinician decides with name, NPI and specialty")


@dataclass(frozen=True, slots=True)
class Reviewer:
    """A signed-in person who is no clinician: approves, approves less, asks; never denies."""

    name: str

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("a reviewer decides with their name")


@dataclass(frozen=True, slots=True)
class Administrative:
    """The plan's own terms, acting without a person: `code` names the term. Never a medical judgement."""

    code: str

    def __post_init__(self) -> None:
        if not self.code.strip():
            raise ValueError("an administrative decision names the plan's term")


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy's own rules, acting without a person."""


RULES: Final = Rules()


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A reason, other than a criterion, why the rules may not approve a line."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome and who is behind it. It cannot be built against the rule of who may decide what."""

    outcome: Outcome
    by: Rules | Administrative | Reviewer | Clinician
    reasons: tuple[str, ...]

    @property
    def by_person(self) -> bool:
        """Whether a human being reviewed it (PAS claimResponseReviewer.wasHumanReviewedFlag)."""
        return isinstance(self.by, Reviewer | Clinician)

    def __post_init__(self) -> None:
        if isinstance(self.by, Administrative) and self.outcome is not Outcome.DENIED:
            raise ValueError("the plan's terms deny or say nothing")
        if self.outcome is Outcome.DENIED:
            if not isinstance(self.by, Clinician | Administrative):
                raise ValueError("only a named clinician denies for medical necessity")
            if not any(reason.strip() for reason in self.reasons):
                raise ValueError("a denial gives a specific reason")
        if isinstance(self.by, Rules) and self.outcome is Outcome.MODIFIED:
            raise ValueError("rules authorize exactly what was requested, or nothing")
        if self.outcome is Outcome.PENDED and not self.reasons:
            raise ValueError("a pended line says what is missing")


def decide(findings: tuple[Finding, ...], obstacles: tuple[Obstacle, ...], notes: Iterable[str]) -> Decision:
    """The rules' decision on one line: approved when every criterion is met and nothing is in the way."""
    if findings and not obstacles and all(finding.status is Status.MET for finding in findings):
        return Decision(Outcome.APPROVED, RULES, ())
    return Decision(Outcome.PENDED, RULES, tuple(notes))


def overall(outcomes: Iterable[Outcome]) -> Outcome:
    """A request of several lines is approved only if every line is; a line nobody covers pends the whole."""
    distinct = set(outcomes)
    if not distinct:
        raise ValueError("a request has at least one line")
    if len(distinct) == 1 and distinct != {Outcome.NOT_COVERED_BY_POLICY}:
        return distinct.pop()
    if distinct == {Outcome.NOT_COVERED_BY_POLICY}:
        return Outcome.NOT_COVERED_BY_POLICY
    if Outcome.ERROR in distinct:
        return Outcome.ERROR
    if distinct & {Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY}:
        return Outcome.PENDED
    return Outcome.MODIFIED
