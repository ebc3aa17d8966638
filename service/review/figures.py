"""The figures of the report: decisions and times in the layout of the CMS-0057-F public report."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from statistics import mean, median
from typing import Final

from service.errors import InvalidResource
from service.pas.decide import APPEAL
from service.policy.case import Case, CaseId, Urgency
from service.policy.dates import DatePeriod
from service.policy.decision import Administrative, Outcome, overall
from service.policy.determination import LineDetermination
from service.policy.model import Policy
from service.review.pages import Fields, field

_FINAL: Final = frozenset({Outcome.APPROVED, Outcome.MODIFIED, Outcome.DENIED})
_DEFAULT_DAYS: Final = 365
_MOST_DAYS: Final = 1830
# Whole cases are large: of each only its facts stay in memory.
_DAYS_AT_ONCE: Final = 7
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
    if (last - first).days > _MOST_DAYS:
        raise InvalidResource(f"A report covers at most {_MOST_DAYS} days.")
    return DatePeriod(first, last)


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What the report counts of one case; `denied` has a reason's key for each line that was denied in it.

    What the provider withdrew has no part in the `outcome` of what was decided.
    """

    id: CaseId
    outcome: Outcome
    urgency: Urgency
    hours: float
    late: bool
    by_person: bool
    appeal: bool
    replaced: bool
    denied: tuple[str, ...]


def facts_of(case: Case, asked_at: datetime, reasons: Mapping[int, str]) -> CaseFacts:
    """`asked_at` is when its clock started; `reasons` are the keys of reviewers' denials, by line sequence."""
    lines = [line.determination for line in case.lines]
    outcomes = [line.outcome for line in lines if line.outcome is not Outcome.CANCELLED]
    outcome = overall(outcomes or [Outcome.CANCELLED])
    return CaseFacts(
        id=case.id,
        outcome=Outcome.PENDED if outcome is Outcome.NOT_COVERED_BY_POLICY else outcome,
        urgency=case.urgency,
        hours=(case.decided_at - asked_at).total_seconds() / 3600,
        late=case.due is not None and case.decided_at > case.due,
        by_person=any(line.decision.by_person for line in lines),
        appeal=any(APPEAL in line.obstacles for line in lines),
        replaced=case.replaced_by is not None,
        denied=tuple(key for line in lines if (key := _reason_key(line, reasons)) is not None),
    )


def _reason_key(line: LineDetermination, reasons: Mapping[int, str]) -> str | None:
    """None for a line that is not denied, or was in an earlier version of the request and is counted there."""
    if line.outcome is not Outcome.DENIED:
        return None
    by = line.decision.by
    return f"terms:{by.code}" if isinstance(by, Administrative) else reasons.get(line.sequence)


def is_denied(case: Case) -> bool:
    """Whether any of its lines is."""
    return any(line.determination.outcome is Outcome.DENIED for line in case.lines)


def spans(days: DatePeriod) -> Iterator[tuple[datetime, datetime]]:
    """The range in pieces that are read one after the other: from an instant to the next, which is not included."""
    midnight = time(tzinfo=UTC)
    first = days.start
    while first <= days.end:
        after = min(first + timedelta(_DAYS_AT_ONCE), days.end + timedelta(1))
        yield datetime.combine(first, midnight), datetime.combine(after, midnight)
        first = after


def report(days: DatePeriod, cases: Sequence[CaseFacts], policies: Iterable[Policy]) -> Report:
    """The report over cases received on these days, under these policies.

    A request that was replaced before it was decided counts once, as its successor. An appeal is no request: it
    counts where approvals after appeal do.
    """
    counted = [case for case in cases if not case.replaced or case.outcome in _FINAL]
    requests = [case for case in counted if not case.appeal]
    appeals = [case for case in counted if case.appeal]
    sections = (
        _required(days, policies),
        _decisions("Standard requests", *(_of(Urgency.STANDARD, some) for some in (requests, appeals))),
        _decisions("Expedited requests", *(_of(Urgency.EXPEDITED, some) for some in (requests, appeals))),
        _all(requests),
        _denials(counted),
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


def _required(days: DatePeriod, policies: Iterable[Policy]) -> Section:
    """What needed prior authorization on any of the days, by the code that it is billed under."""
    in_force = [one for one in policies if one.effective <= days.end and (one.ends is None or one.ends >= days.start)]
    named = sorted({(one.drug.display, one.drug.billing.code) for one in in_force})
    rows = tuple(Figure(name, None, None, code) for name, code in named)
    return Section("Items and services that require prior authorization", rows or (Figure("None", 0, None, ""),))


def _of(urgency: Urgency, cases: Sequence[CaseFacts]) -> list[CaseFacts]:
    return [case for case in cases if case.urgency is urgency]


def _decisions(title: str, cases: Sequence[CaseFacts], appeals: Sequence[CaseFacts]) -> Section:
    decided = [case for case in cases if case.outcome in _FINAL]
    outcomes = Counter(case.outcome for case in decided)
    hours = [case.hours for case in decided]
    appealed = [case for case in appeals if case.outcome in _FINAL]
    granted = sum(case.outcome is not Outcome.DENIED for case in appealed)
    return Section(
        title,
        (
            _share("Approved", outcomes[Outcome.APPROVED], len(decided)),
            _share("Approved with changes, or in part", outcomes[Outcome.MODIFIED], len(decided)),
            _share("Denied", outcomes[Outcome.DENIED], len(decided)),
            _share("Approved after appeal, as asked or in part", granted, len(decided)),
            Figure("Appeals decided", len(appealed), len(appeals), ""),
            Figure("Approved after the timeframe was extended", None, None, NOT_RECORDED),
            _time("Time from receipt to decision, mean", mean(hours) if hours else None),
            _time("Time from receipt to decision, median", median(hours) if hours else None),
            _share("Decided after the deadline", sum(case.late for case in decided), len(decided)),
            Figure("Waiting for a decision", _waiting(cases), len(cases), ""),
        ),
    )


def _all(cases: Sequence[CaseFacts]) -> Section:
    decided = [case for case in cases if case.outcome in _FINAL]
    automatic = [case for case in decided if not case.by_person]
    held = [case for case in cases if case.outcome is Outcome.PENDED or case.by_person]
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


def _denials(cases: Sequence[CaseFacts]) -> Section:
    """Denied lines by the criterion that the reason names."""
    denied = [key for case in cases for key in case.denied]
    rows = [_share(_reason_name(key), count, len(denied)) for key, count in _by_count(denied)]
    return Section("Denied lines by criterion", tuple(rows) or (Figure("None", 0, None, ""),))


def _by_count(keys: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(keys).items(), key=lambda entry: (-entry[1], entry[0]))


def _reason_name(key: str) -> str:
    kind, _, criterion = key.partition(":")
    named = {"criterion": f"Criterion {criterion}", "sentence": f"The policy's own sentence ({criterion})"}
    named["terms"] = f"The plan's terms ({criterion})"
    return named.get(kind, "Another reason")


def _waiting(cases: Sequence[CaseFacts]) -> int:
    return sum(case.outcome is Outcome.PENDED for case in cases)


def _share(name: str, count: int, of: int) -> Figure:
    return Figure(name, count, of, f"{100 * count / of:.1f} %" if of else "")


def _time(name: str, hours: float | None) -> Figure:
    return Figure(name, None, None, f"{hours:.2f} h" if hours is not None else "")
