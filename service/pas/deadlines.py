"""When a request must be decided: the payer's hours by line of business, by drug or not, and by urgency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints

from service.errors import InvalidPolicy
from service.pas.elements import codings, listed, object_of, text_of
from service.policy.case import Urgency
from service.ports import Resource
from service.settings import Settings
from service.toml_file import read_toml

_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
_Code = Annotated[str, StringConstraints(pattern=r"^[^|\s]+\|[^|\s]+$", max_length=500)]
# The value of a Coverage.class is the payer's own text, blanks among it.
_Class = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^|\s]+\|\S", max_length=500)]
# A year; what is longer is a mistake in writing.
_Hours = Annotated[StrictInt, Field(gt=0, le=8784)]


class _Clock(BaseModel):
    """Hours by urgency; what is left out is as for every other line of business."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    standard: _Hours | None = None
    expedited: _Hours | None = None


class _Entry(BaseModel):
    """One [[line_of_business]] of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    coverage_types: tuple[_Code, ...] = ()
    coverage_classes: tuple[_Class, ...] = ()
    drug: _Clock = _Clock()
    other: _Clock = _Clock()


class _File(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line_of_business: tuple[_Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class LineOfBusiness:
    """Coverages of these types ("system|code") or classes ("type code|value"), and their hours.

    `hours` by (drug, urgency); what is not there is as the settings say for all.
    """

    name: str
    types: frozenset[str]
    classes: frozenset[str]
    hours: Mapping[tuple[bool, Urgency], int]


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What the payer promises beside its settings; empty: the settings alone."""

    lines_of_business: tuple[LineOfBusiness, ...] = ()

    def line_of_business(self, coverage: Resource) -> LineOfBusiness | None:
        """The first of the file that the Coverage belongs to; None when it belongs to none of them."""
        types = {f"{system}|{code}" for system, code in codings(object_of(coverage, "type"))}
        classes = {
            f"{code}|{value.strip()}"
            for one in listed(coverage, "class")
            if (value := text_of(one, "value")) is not None
            for _, code in codings(object_of(one, "type"))
        }
        found = (line for line in self.lines_of_business if line.types & types or line.classes & classes)
        return next(found, None)

    def hours(self, coverage: Resource, urgency: Urgency, *, drug: bool, settings: Settings) -> int:
        """Hours from receipt to decision."""
        usual = {
            (True, Urgency.STANDARD): settings.due_hours_drug_standard,
            (True, Urgency.EXPEDITED): settings.due_hours_drug_expedited,
            (False, Urgency.STANDARD): settings.due_hours_other_standard,
            (False, Urgency.EXPEDITED): settings.due_hours_other_expedited,
        }[drug, urgency]
        own = self.line_of_business(coverage)
        return usual if own is None else own.hours.get((drug, urgency), usual)


def due_at(received_at: datetime, hours: int) -> datetime:
    """The clock starts at receipt (pas.md 1.8)."""
    return received_at + timedelta(hours=hours)


def load_deadlines(path: Path | None) -> Deadlines:
    """Read the file of the setting PA_DUE_HOURS. InvalidPolicy, at start, when it cannot be read as one."""
    if path is None:
        return Deadlines()
    read = read_toml(path, _File, "the file of deadlines (PA_DUE_HOURS)")
    return Deadlines(tuple(_line_of_business(entry, path) for entry in read.line_of_business))


def _line_of_business(entry: _Entry, path: Path) -> LineOfBusiness:
    if not (entry.coverage_types or entry.coverage_classes):
        raise InvalidPolicy(f'{path.name}: "{entry.name}" names neither coverage_types nor coverage_classes.')
    said = {
        (True, Urgency.STANDARD): entry.drug.standard,
        (True, Urgency.EXPEDITED): entry.drug.expedited,
        (False, Urgency.STANDARD): entry.other.standard,
        (False, Urgency.EXPEDITED): entry.other.expedited,
    }
    return LineOfBusiness(
        entry.name,
        frozenset(entry.coverage_types),
        frozenset(entry.coverage_classes),
        {key: hours for key, hours in said.items() if hours is not None},
    )
