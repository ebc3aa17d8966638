"""The figures of the report: decisions and times in the layout of the CMS-0057-F public report."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import mean, median
from typing import Final

from service.errors import InvalidResource
from service.policy.case import Case, CaseId, Urgency
from service.policy.dates import DatePeriod
from service.policy.decision import Outcome
from service.review.pages import Fields, field

_FINAL: Final = frozenset({Outcome.APPROVED, Outcome.MODIFIED, Outcome.DENIED})
_DEFAULT_DAYS: Final = 365
NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row: a count of a whole and its percentage, or a time; `value` is what is shown."""

    name: str
    count: int | None
    of: int | None
    value: str


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under a title."""

    title: str
    rows: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """Figures of the requests received from `first` to `last`."""

    first: date
    last: date
    sections: tuple[Section, ...]


def read_range(query: Fields, now: datetime) -> DatePeriod:
    """The days of a query's from and to; without them the last 365 days. InvalidResource for what is no range."""
    today = now.astimezone(UTC).date()
    try:
        last = date.fromisoformat(field(query, "to")) if field(query, "to") else today
        first = date.fromisoformat(field(query, "from")) if field(query, "from") else last - timedelta(_DEFAULT_DAYS)
    except (ValueError, OverflowError):
        raise InvalidResource("Give the days as YYYY-MM-DD.") from None
    if last < first or last == date.max:
        raise InvalidResource("The last day comes before the first.")
    return DatePeriod(first, last)


def instants(days: DatePeriod) -> tuple[datetime, datetime]:
    """From the start of the first day to the end of the last, in UTC; the end is not included."""
    midnight = time(tzinfo=UTC)
    return datetime.combine(days.start, midnight), datetime.combine(days.end + timedelta(1), midnight)


def report(days: DatePeriod, cases: Sequence[Case], denied_for: Mapping[CaseId, Mapping[int, str]]) -> Report:
    """The report over cases received on these days; `denied_for` has the reason keys of denied lines by sequence.

    A request that was replaced before it was decided counts once, as its successor.
    """
    counted = [case for case in cases if case.replaced_by is None or case.outcome in _FINAL]
    sections = (
        _decisions("Standard requests", [case for case in counted if case.urgency is Urgency.STANDARD]),
        _decisions("Expedited requests", [case for case in counted if case.urgency is Urgency.EXPEDITED]),
        _all(counted),
        _denials(counted, denied_for),
    )
    return Report(days.start, days.end, sections)


def as_csv(made: Report) -> str:
    """The same rows; no text in them comes from a request."""
    written = io.StringIO()
    rows = csv.writer(written, lineterminator="\r\n")
    rows.writerow(["section", "figure", "count", "of", "value", "first_day", "last_day"])
    for section in made.sections:
        for row in section.rows:
            count = "" if row.count is None else row.count
            of = "" if row.of is None else row.of
            rows.writerow([section.title, row.name, count, of, row.value, made.first, made.last])
    return written.getvalue()


def _decisions(title: str, cases: Sequence[Case]) -> Section:
    decided = [case for case in cases if case.outcome in _FINAL]
    outcomes = Counter(case.outcome for case in decided)
    hours = [(case.decided_at - case.received_at).total_seconds() / 3600 for case in decided]
    return Section(
        title,
        (
            _share("Approved", outcomes[Outcome.APPROVED], len(decided)),
            _share("Approved with changes, or in part", outcomes[Outcome.MODIFIED], len(decided)),
            _share("Denied", outcomes[Outcome.DENIED], len(decided)),
            Figure("Approved after appeal", None, None, NOT_RECORDED),
            Figure("Approved after the timeframe was extended", None, None, NOT_RECORDED),
            _time("Time from receipt to decision, mean", mean(hours) if hours else None),
            _time("Time from receipt to decision, median", median(hours) if hours else None),
            _share("Decided after the deadline", sum(map(_late, decided)), len(decided)),
            Figure("Waiting for a decision", _waiting(cases), len(cases), ""),
        ),
    )


def _all(cases: Sequence[Case]) -> Section:
    decided = [case for case in cases if case.outcome in _FINAL]
    by_person = {case.id for case in cases if any(line.determination.decision.by_person for line in case.lines)}
    automatic = [case for case in decided if case.id not in by_person]
    held = [case for case in cases if case.outcome is Outcome.PENDED or case.id in by_person]
    return Section(
        "All requests",
        (
            Figure("Received", len(cases), None, ""),
            _share("Decided", len(decided), len(cases)),
            _share("Decided by rules alone", len(automatic), len(decided)),
            _share("Waiting for a reviewer, or decided by one", len(held), len(cases)),
            _share("Cancelled, or not to be processed", len(cases) - len(decided) - _waiting(cases), len(cases)),
        ),
    )


def _denials(cases: Sequence[Case], denied_for: Mapping[CaseId, Mapping[int, str]]) -> Section:
    """Denied lines by the criterion that the reason names."""
    denied = [
        denied_for.get(case.id, {}).get(line.determination.sequence, "other")
        for case in cases
        for line in case.lines
        if line.determination.outcome is Outcome.DENIED
    ]
    rows = [_share(_reason_name(key), count, len(denied)) for key, count in _by_count(denied)]
    return Section("Denied lines by criterion", tuple(rows) or (Figure("None", 0, None, ""),))


def _by_count(keys: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(keys).items(), key=lambda entry: (-entry[1], entry[0]))


def _reason_name(key: str) -> str:
    kind, _, criterion = key.partition(":")
    named = {"criterion": f"Criterion {criterion}", "sentence": f"The policy's own sentence ({criterion})"}
    return named.get(kind, "Another reason")


def _waiting(cases: Sequence[Case]) -> int:
    return sum(case.outcome is Outcome.PENDED for case in cases)


def _late(case: Case) -> bool:
    return case.due is not None and case.decided_at > case.due


def _share(name: str, count: int, of: int) -> Figure:
    return Figure(name, count, of, f"{100 * count / of:.1f} %" if of else "")


def _time(name: str, hours: float | None) -> Figure:
    return Figure(name, None, None, f"{hours:.2f} h" if hours is not None else "")
