"""Partial dates stand for every day they may be; authorizations end the day before the same date."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.policy.dates import DatePeriod, PartialDate, add_months, authorized_period

DAYS = st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 12, 31))


@pytest.mark.parametrize(
    ("text", "earliest", "latest"),
    [
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        ("2026-12-04", date(2026, 12, 4), date(2026, 12, 4)),
        ("2026-12-04T23:30:00-05:00", date(2026, 12, 4), date(2026, 12, 4)),
    ],
)
def test_a_date_stands_for_the_days_that_it_may_be(text: str, earliest: date, latest: date) -> None:
    parsed = PartialDate.parse(text)
    assert parsed is not None
    assert (parsed.earliest(), parsed.latest()) == (earliest, latest)
    assert parsed.is_whole == (earliest == latest)


@pytest.mark.parametrize(
    "text", ["", "2026-13", "2026-02-30", "26-01-01", "2026-1-1", "yesterday", "0000", "2026-00"]
)
def test_what_names_no_day_of_the_calendar_is_no_date(text: str) -> None:
    assert PartialDate.parse(text) is None


@given(DAYS)
def test_every_precision_of_a_day_holds_that_day(day: date) -> None:
    for text in (f"{day.year:04d}", f"{day:%Y-%m}", day.isoformat()):
        parsed = PartialDate.parse(text)
        assert parsed is not None
        assert str(parsed) == text
        assert parsed.earliest() <= day <= parsed.latest()
    assert PartialDate.of(day).earliest() == day


@given(DAYS)
def test_twelve_months_end_the_day_before_the_same_date(day: date) -> None:
    period = authorized_period(day, 12)
    if (day.month, day.day) == (2, 29):
        assert period.end == date(day.year + 1, 2, 28)
    else:
        assert period.end + timedelta(days=1) == day.replace(year=day.year + 1)
    assert day in period
    assert period.end + timedelta(days=1) not in period


@given(DAYS, st.integers(min_value=0, max_value=24))
def test_adding_months_never_leaves_the_month(day: date, months: int) -> None:
    later = add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day


def test_periods_that_share_a_day_overlap() -> None:
    first = DatePeriod(date(2026, 1, 1), date(2026, 6, 30))
    assert first.overlaps(DatePeriod(date(2026, 6, 30), date(2026, 7, 1)))
    assert not first.overlaps(DatePeriod(date(2026, 7, 1), date(2026, 8, 1)))
