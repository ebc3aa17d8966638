"""Dates as FHIR writes them: whole, or known only to the month or year."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A FHIR date of year, month or day precision. It stands for every day between `earliest` and `latest`."""

    year: int
    month: int | None = None
    day: int | None = None

    @classmethod
    def parse(cls, text: str) -> PartialDate | None:
        """The date part of a FHIR date or dateTime as written, or None when it names no calendar day."""
        match = _DATE.fullmatch(text.partition("T")[0])
        if match is None:
            return None
        year, month, day = (int(part) if part else None for part in match.groups())
        candidate = cls(year or 0, month, day)
        try:
            candidate.earliest()
        except ValueError:
            return None
        return candidate

    @classmethod
    def of(cls, day: date) -> PartialDate:
        return cls(day.year, day.month, day.day)

    @property
    def is_whole(self) -> bool:
        return self.day is not None

    def earliest(self) -> date:
        return date(self.year, 1 if self.month is None else self.month, 1 if self.day is None else self.day)

    def latest(self) -> date:
        month = self.month or 12
        return date(self.year, month, self.day or calendar.monthrange(self.year, month)[1])

    def __str__(self) -> str:
        parts = [f"{self.year:04d}"]
        if self.month is not None:
            parts.append(f"{self.month:02d}")
        if self.day is not None:
            parts.append(f"{self.day:02d}")
        return "-".join(parts)


@dataclass(frozen=True, slots=True)
class DatePeriod:
    """Whole days, both included."""

    start: date
    end: date

    def __contains__(self, day: date) -> bool:
        return self.start <= day <= self.end

    def overlaps(self, other: DatePeriod) -> bool:
        return self.start <= other.end and other.start <= self.end


def add_months(start: date, months: int) -> date:
    """The same day `months` later, or the last day of that month when it has no such day."""
    index = start.year * 12 + start.month - 1 + months
    year, month = divmod(index, 12)
    return date(year, month + 1, min(start.day, calendar.monthrange(year, month + 1)[1]))


def authorized_period(start: date, months: int) -> DatePeriod:
    """From `start` to the day before the same date `months` later; from 29 February to 28 February.

    Where the same date does not exist in the later year, its month's last day is already "the day before".
    """
    same_day = add_months(start, months)
    end = same_day - timedelta(days=1) if same_day.day == start.day else same_day
    return DatePeriod(start, end)
