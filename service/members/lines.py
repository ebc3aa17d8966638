"""One line of a payer's NDJSON file: a FHIR R4 Patient or Coverage becomes a record, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec
from msgspec import Struct, field

from service.fhir.canonical import COVERAGE_CLASS, IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE
from service.policy.case import MemberId
from service.policy.dates import PartialDate
from service.policy.enrollment import CoverageRecord, MemberRecord
from service.policy.membership import OpenPeriod

_LONGEST: Final = 200
# R4 FinancialResourceStatusCodes.
_STATUSES: Final = frozenset({"active", "cancelled", "draft", "entered-in-error"})
_PLACE: Final = re.compile(r"at `(\$[^`]*)`")


class UnusableLine(ValueError):
    """A line that cannot be loaded. The text is ours: it names elements and never repeats what they hold."""


class _Coding(Struct):
    system: str | None = None
    code: str | None = None


class _Concept(Struct):
    coding: tuple[_Coding, ...] = ()

    def has(self, system: str, code: str) -> bool:
        return any((coding.system, coding.code) == (system, code) for coding in self.coding)


class _Identifier(Struct):
    type: _Concept | None = None
    system: str | None = None
    value: str | None = None


class _Reference(Struct):
    reference: str | None = None
    identifier: _Identifier | None = None


class _Period(Struct):
    start: str | None = None
    end: str | None = None


class _Class(Struct):
    type: _Concept | None = None
    value: str | None = None


class _Patient(Struct, tag_field="resourceType", tag="Patient"):
    """Only what is needed: names, addresses and the rest are never taken out of the line."""

    id: str | None = None
    identifier: tuple[_Identifier, ...] = ()
    birth_date: str | None = field(name="birthDate", default=None)
    active: bool = True


class _Coverage(Struct, tag_field="resourceType", tag="Coverage"):
    id: str | None = None
    identifier: tuple[_Identifier, ...] = ()
    status: str | None = None
    subscriber_id: str | None = field(name="subscriberId", default=None)
    beneficiary: _Reference | None = None
    relationship: _Concept | None = None
    period: _Period | None = None
    payor: tuple[_Reference, ...] = ()
    classes: tuple[_Class, ...] = field(name="class", default=())


# The constructor's argument is a union, which its stub cannot express.
_DECODER: Final[msgspec.json.Decoder[_Patient | _Coverage]] = msgspec.json.Decoder(_Patient | _Coverage)


@dataclass(frozen=True, slots=True)
class LineReader:
    """Reads lines of one payer: its systems of member ids and coverage ids, and its own (system, id)."""

    member_system: str
    coverage_system: str
    payer: tuple[str, str]

    def read(self, line: bytes) -> MemberRecord | CoverageRecord:
        """The record of a line; UnusableLine when it has none."""
        resource = _decoded(line)
        return self._member(resource) if isinstance(resource, _Patient) else self._coverage(resource)

    def _member(self, patient: _Patient) -> MemberRecord:
        member = self._member_id(patient.identifier, "Patient.identifier")
        if member is None:
            raise UnusableLine("Patient.identifier has no member id (type MB, or of the payer's member system)")
        born = patient.birth_date
        if born is not None and PartialDate.parse(born) is None:
            raise UnusableLine("Patient.birthDate is no date of the calendar")
        return MemberRecord(member, _text(patient.id, "Patient.id"), born, patient.active)

    def _coverage(self, coverage: _Coverage) -> CoverageRecord:
        logical_id = _text(coverage.id, "Coverage.id")
        if logical_id is None:
            raise UnusableLine("Coverage.id is missing")
        if coverage.status not in _STATUSES:
            raise UnusableLine("Coverage.status is missing or none of FHIR's codes")
        if any(self._names_another(payor) for payor in coverage.payor):
            raise UnusableLine("Coverage.payor names another payer")
        numbers = [found.value for found in coverage.identifier if found.system == self.coverage_system]
        member, patient = self._owner(coverage)
        return CoverageRecord(
            id=logical_id,
            number=_single(numbers, "Coverage.identifier", "ids of the payer's coverage system"),
            member=member,
            patient=patient,
            status=coverage.status,
            period=_period(coverage.period),
            plan=_single(_plans(coverage.classes), "Coverage.class", "classes of type plan"),
            relationship=_relationship(coverage.relationship),
        )

    def _owner(self, coverage: _Coverage) -> tuple[MemberId | None, str | None]:
        """By the Coverage's own member id, else by its beneficiary, else by the subscriber id.

        The subscriber id comes last: it is the same for everybody whom one subscriber brings in.
        """
        beneficiary = coverage.beneficiary or _Reference()
        named = [*coverage.identifier, *([beneficiary.identifier] if beneficiary.identifier else [])]
        member = self._member_id(named, "Coverage.identifier")
        if member is not None:
            return member, None
        kind, _, logical_id = (beneficiary.reference or "").rpartition("/")
        if kind.rpartition("/")[2] == "Patient" and logical_id:
            return None, _text(logical_id, "Coverage.beneficiary")
        subscriber = _text(coverage.subscriber_id, "Coverage.subscriberId")
        if subscriber is None:
            raise UnusableLine("Coverage.beneficiary is no reference to a Patient, and there is no member id")
        return MemberId(subscriber), None

    def _member_id(self, identifiers: Iterable[_Identifier], place: str) -> MemberId | None:
        """That of our member system, else the one of type MB."""
        listed = list(identifiers)
        own = [found.value for found in listed if found.system == self.member_system]
        typed = [i.value for i in listed if i.type is not None and i.type.has(IDENTIFIER_TYPE, MEMBER_ID_TYPE_CODE)]
        member = _single(own, place, "member ids") or _single(typed, place, "member ids")
        return None if member is None else MemberId(member)

    def _names_another(self, payor: _Reference) -> bool:
        named = payor.identifier
        system, value = self.payer
        return named is not None and named.system == system and named.value != value


def _decoded(line: bytes) -> _Patient | _Coverage:
    try:
        return _DECODER.decode(line)
    except RecursionError:
        problem = "nests too deep"
    except UnicodeDecodeError:
        problem = "is not UTF-8 text"
    except msgspec.ValidationError as error:
        # Of msgspec's text only the place is taken: the rest may repeat a value.
        found = _PLACE.search(str(error))
        place = found[1] if found else "$"
        wrong_kind = place in {"$", "$.resourceType"}
        problem = "is no FHIR Patient or Coverage" if wrong_kind else f"{place} is not of the type that FHIR gives it"
    except msgspec.DecodeError:
        problem = "is not well-formed JSON"
    raise UnusableLine(problem)


def _single(values: Iterable[str | None], place: str, what: str) -> str | None:
    """The one value, however often it is repeated."""
    distinct = {text for value in values if (text := _text(value, place)) is not None}
    if len(distinct) > 1:
        raise UnusableLine(f"{place} has several {what}")
    return next(iter(distinct), None)


def _text(value: str | None, place: str) -> str | None:
    """A value to find records by, without the blanks around it; None for a blank one."""
    text = value.strip() if value is not None else ""
    if len(text) > _LONGEST or "\x00" in text:
        raise UnusableLine(f"{place} has a value that is too long or no text")
    return text or None


def _plans(classes: Iterable[_Class]) -> list[str | None]:
    return [found.value for found in classes if found.type is not None and found.type.has(COVERAGE_CLASS, "plan")]


def _relationship(concept: _Concept | None) -> str | None:
    codes = [coding.code for coding in concept.coding] if concept else []
    return _text(next((code for code in codes if code), None), "Coverage.relationship")


def _period(period: _Period | None) -> OpenPeriod:
    if period is None:
        return OpenPeriod(None, None)
    start, end = (_day(getattr(period, name), f"Coverage.period.{name}") for name in ("start", "end"))
    if start is not None and end is not None and end < start:
        raise UnusableLine("Coverage.period ends before it starts")
    return OpenPeriod(start, end)


def _day(value: str | None, place: str) -> date | None:
    """A whole day: of a month alone nobody could say on which days the coverage holds."""
    if value is None:
        return None
    parsed = PartialDate.parse(value)
    if parsed is None or not parsed.is_whole:
        raise UnusableLine(f"{place} is no whole day of the calendar")
    return parsed.earliest()
