"""The people who review cases: their roles, their accounts, and what each may do with a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from service.errors import Conflict, Forbidden
from service.policy.case import Case
from service.policy.decision import Clinician, Reviewer
from service.policy.review import WAITING, Deny, Verdict, apply


class Role(StrEnum):
    """Reviewers approve and ask, clinicians deny too, auditors only look."""

    REVIEWER = "reviewer"
    CLINICIAN = "clinician"
    AUDITOR = "auditor"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account; `clinician` exactly for the role of that name, under the same name."""

    login: str
    name: str
    role: Role
    clinician: Clinician | None = None

    def __post_init__(self) -> None:
        if not (self.login.strip() and self.name.strip()):
            raise ValueError("an account has a login and a name")
        if (self.role is Role.CLINICIAN) != (self.clinician is not None):
            raise ValueError("a clinician, and nobody else, has an NPI and a specialty")
        if self.clinician is not None and self.clinician.name != self.name:
            raise ValueError("a clinician decides under the account's name")

    @property
    def may_decide(self) -> bool:
        return self.role is not Role.AUDITOR

    @property
    def may_deny(self) -> bool:
        return self.clinician is not None

    def actor(self) -> Reviewer | Clinician:
        """Who a decision is recorded under; Forbidden for an auditor."""
        if not self.may_decide:
            raise Forbidden("An auditor looks at cases and decides none.")
        return self.clinician or Reviewer(self.name)


@dataclass(frozen=True, slots=True)
class Account:
    """A person's account. `password_hash` is an encoded Argon2id hash; a disabled account opens nothing."""

    person: Person
    password_hash: str
    disabled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser, by the digest of its secret. `seen_at` is its last use, to the minute."""

    digest: str
    login: str
    opened_at: datetime
    seen_at: datetime


def is_npi(text: str) -> bool:
    """Ten digits whose Luhn check holds over the prefix 80840 (45 CFR 162.406; US Core us-core-17)."""
    if not (text.isascii() and text.isdigit() and len(text) == 10):
        return False
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(f"80840{text}"))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def waits(case: Case) -> bool:
    """Whether a person still has something to decide on this very version of the request."""
    return case.replaced_by is None and any(line.determination.outcome in WAITING for line in case.lines)


def claim(case: Case, person: Person, *, take_over: bool = False) -> Case:
    """The case held by this person.

    Forbidden for an auditor; Conflict when somebody else holds it (unless it is taken over on purpose), and
    when nothing is left to decide.
    """
    person.actor()
    if not waits(case):
        raise Conflict("Nothing is left to decide on this case.")
    if case.held_by not in {None, person.login} and not take_over:
        raise Conflict(f"{case.held_by} has this case.")
    return replace(case, held_by=person.login)


def release(case: Case, person: Person) -> Case:
    """The case held by nobody; Conflict when it is not this person who holds it."""
    person.actor()
    if case.held_by != person.login:
        raise Conflict(f"{case.held_by} has this case." if case.held_by else "Nobody holds this case.")
    return replace(case, held_by=None)


def decide(case: Case, verdicts: Mapping[int, Verdict], person: Person, at: datetime, number: str) -> Case:
    """The case with this person's verdicts by line sequence; held by nobody once no line waits.

    Forbidden for an auditor, and for a denial by anybody but a clinician; Conflict while somebody else holds the
    case, and for what `apply` refuses.
    """
    actor = person.actor()
    if not person.may_deny and any(isinstance(verdict, Deny) for verdict in verdicts.values()):
        raise Forbidden("Only a clinician, named with NPI and specialty, denies a request.")
    if case.held_by not in {None, person.login}:
        raise Conflict(f"{case.held_by} has this case.")
    decided = apply(case, verdicts, actor, at, number)
    return replace(decided, held_by=person.login if waits(decided) else None)
