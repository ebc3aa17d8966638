"""The worklist: open cases by deadline, narrowed by filters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from service.policy.case import Case
from service.policy.review import WAITING
from service.policy.reviewer import Person
from service.review.case_view import is_overdue, time_left
from service.review.pages import Fields, field

MOST: Final = 200
"""Cases on one page."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What to show; an empty text is everything. `holder` is "mine" or "nobody", `policy` an id or "none"."""

    urgency: str = ""
    policy: str = ""
    holder: str = ""
    overdue: bool = False

    @property
    def any(self) -> bool:
        return bool(self.urgency or self.policy or self.holder or self.overdue)


@dataclass(frozen=True, slots=True)
class Row:
    """One open case."""

    case: Case
    title: str
    reference: str
    left: str
    overdue: bool
    asked: bool
    answered: bool


@dataclass(frozen=True, slots=True)
class Worklist:
    """`rows` are the first of the `count` cases that the filters leave of `total`; `overdue` counts among all."""

    rows: tuple[Row, ...]
    count: int
    total: int
    overdue: int
    filters: Filters


def read_filters(query: Fields) -> Filters:
    """The filters of a query; what is not known narrows nothing."""
    urgency, holder = field(query, "urgency"), field(query, "holder")
    return Filters(
        urgency=urgency if urgency in {"standard", "expedited"} else "",
        policy=field(query, "policy"),
        holder=holder if holder in {"mine", "nobody"} else "",
        overdue=field(query, "overdue") == "yes",
    )


def worklist(cases: Sequence[Case], filters: Filters, person: Person, now: datetime) -> Worklist:
    """`cases` in order of deadline."""
    kept = [case for case in cases if _shown(case, filters, person, now)]
    return Worklist(
        rows=tuple(_row(case, now) for case in kept[:MOST]),
        count=len(kept),
        total=len(cases),
        overdue=sum(is_overdue(case, now) for case in cases),
        filters=filters,
    )


def _shown(case: Case, filters: Filters, person: Person, now: datetime) -> bool:
    holders = {"mine": person.login, "nobody": None}
    return (
        (not filters.urgency or case.urgency.value == filters.urgency)
        and (not filters.holder or case.held_by == holders[filters.holder])
        and (not filters.overdue or is_overdue(case, now))
        and (not filters.policy or filters.policy in _policies(case))
    )


def _policies(case: Case) -> set[str]:
    """Ids of the policies of lines that wait; "none" for a line that no policy covers."""
    waiting = [line.determination for line in case.lines if line.determination.outcome in WAITING]
    return {line.policy.id if line.policy else "none" for line in waiting}


def _row(case: Case, now: datetime) -> Row:
    waiting = [line for line in case.lines if line.determination.outcome in WAITING]
    codes = list(dict.fromkeys(line.determination.code or "no code" for line in waiting))
    asked = [request for request in case.asked if request.answered_at is None]
    return Row(
        case=case,
        title=f"{', '.join(codes)} from {case.first_service or 'an unknown day'}",
        reference=waiting[0].reference_number if waiting else "",
        left=time_left(case, now),
        overdue=is_overdue(case, now),
        asked=bool(asked),
        answered=bool(case.asked) and not asked,
    )
