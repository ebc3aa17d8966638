"""One line of the file: what is taken from it, and why it may be of no use."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from service.members.lines import UnusableLine
from service.policy.case import MemberId
from service.policy.enrollment import CoverageRecord, MemberRecord
from service.policy.membership import OpenPeriod
from tests.unit.members.samples import COVERAGE_SYSTEM, MB, PLAN, READER, coverage, line, patient

SECRET = "Garbo-1958-02-03"


def test_a_patient_is_a_member_and_no_more() -> None:
    assert READER.read(line(patient())) == MemberRecord(MemberId("M-1"), "p1", "1958-02-03", True)


def test_a_coverage_tells_whose_it_is_when_and_in_which_plan() -> None:
    period = OpenPeriod(date(2026, 1, 1), date(2026, 12, 31))
    expected = CoverageRecord("c1", "C-1", None, "p1", "active", period, "GOLD", "self")
    assert READER.read(line(coverage())) == expected


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"identifier": [{"type": MB, "system": "urn:other", "value": " M-7 "}]}, "M-7"),
        (
            {
                "identifier": [
                    {"type": MB, "system": "urn:other", "value": "M-7"},
                    {"system": "https://payer.example.org/member", "value": "M-8"},
                ]
            },
            "M-8",
        ),
    ],
)
def test_our_own_member_id_counts_before_another(changes: dict[str, Any], member: str) -> None:
    found = READER.read(line(patient(**changes)))
    assert isinstance(found, MemberRecord)
    assert found.member == member


@pytest.mark.parametrize(
    ("changes", "owner"),
    [
        ({"beneficiary": {"reference": "https://ehr.example.org/fhir/Patient/p9"}}, (None, "p9")),
        ({"beneficiary": {"identifier": {"type": MB, "value": "M-3"}}}, ("M-3", None)),
        ({"identifier": [{"type": MB, "value": "M-4"}]}, ("M-4", None)),
        ({"beneficiary": None}, ("S-0", None)),
    ],
)
def test_a_coverage_is_of_the_one_whom_it_names_most_exactly(changes: dict[str, Any], owner: tuple[Any, Any]) -> None:
    found = READER.read(line(coverage(**changes)))
    assert isinstance(found, CoverageRecord)
    assert (found.member, found.patient) == owner


def test_bounds_may_be_absent_and_times_do_not_matter() -> None:
    open_ended = READER.read(line(coverage(period={"start": "2026-01-01T00:00:00-05:00"})))
    unbounded = READER.read(line(coverage(period=None)))
    assert isinstance(open_ended, CoverageRecord)
    assert isinstance(unbounded, CoverageRecord)
    assert open_ended.period == OpenPeriod(date(2026, 1, 1), None)
    assert unbounded.period == OpenPeriod(None, None)


BAD = {
    "not JSON": (b'{"resourceType": "Patient"', "is not well-formed JSON"),
    "not UTF-8": (b'{"resourceType": "Patient", "id": "\xff"}', "is not UTF-8 text"),
    "another type": (line({"resourceType": SECRET}), "is no FHIR Patient or Coverage"),
    "no type": (line({"id": "1"}), "is no FHIR Patient or Coverage"),
    "a list": (b"[1]", "is no FHIR Patient or Coverage"),
    "no member id": (line(patient(identifier=None)), "Patient.identifier has no member id"),
    "two member ids": (
        line(patient(identifier=[{"type": MB, "value": SECRET}, {"type": MB, "value": "M-2"}])),
        "Patient.identifier has several member ids",
    ),
    "a wrong type": (line(patient(birthDate=19580203)), "$.birthDate is not of the type"),
    "a wrong type inside": (line(coverage(period={"start": [SECRET]})), "$.period.start is not of the type"),
    "no date": (line(patient(birthDate=SECRET)), "Patient.birthDate is no date"),
    "no day": (line(coverage(period={"start": "2026-02-30"})), "Coverage.period.start is no whole day"),
    "half a day": (line(coverage(period={"end": "2026-12"})), "Coverage.period.end is no whole day"),
    "backwards": (line(coverage(period={"start": "2026-02-01", "end": "2026-01-31"})), "ends before it starts"),
    "no id": (line(coverage(id=None)), "Coverage.id is missing"),
    "no status": (line(coverage(status=None)), "Coverage.status is missing"),
    "a wrong status": (line(coverage(status=SECRET)), "Coverage.status is missing or none"),
    "nobody's": (line(coverage(beneficiary=None, subscriberId=None)), "Coverage.beneficiary is no reference"),
    "another payer's": (
        line(coverage(payor=[{"identifier": {"system": "https://payer.example.org/payer-id", "value": SECRET}}])),
        "names another payer",
    ),
    "two plans": (
        line(coverage() | {"class": [{"type": PLAN, "value": "A"}, {"type": PLAN, "value": "B"}]}),
        "Coverage.class has several classes of type plan",
    ),
    "two numbers": (
        line(coverage(identifier=[{"system": COVERAGE_SYSTEM, "value": v} for v in "12"])),
        "Coverage.identifier has several ids",
    ),
    "a number without end": (line(coverage(id="x" * 201)), "Coverage.id has a value that is too long"),
    "no text": (line(coverage(id="a\x00b")), "Coverage.id has a value that is too long or no text"),
    "too deep": (b'{"resourceType": "Patient", "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nests too deep"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_line_of_no_use_says_why_and_repeats_nothing(name: str) -> None:
    content, reason = BAD[name]
    with pytest.raises(UnusableLine) as raised:
        READER.read(content)
    assert reason in str(raised.value)
    assert SECRET not in str(raised.value)
