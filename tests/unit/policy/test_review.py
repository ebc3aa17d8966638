"""What a person may do with the lines of a case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from service.errors import BusinessRule, Conflict, Forbidden
from service.policy.case import Authorization, Case, CaseId, CaseLine, ClientId, InfoRequest, MemberId
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Administrative, Clinician, Decision, Outcome, Reviewer
from service.policy.determination import Granted, LineDetermination
from service.policy.model import LinkId, PolicyRef
from service.policy.review import Approve, ApproveModified, Ask, Deny, Verdict, apply

AT = datetime(2026, 12, 1, tzinfo=UTC)
PERIOD = DatePeriod(date(2026, 12, 4), date(2027, 12, 3))
REF = PolicyRef("imdelltra", "2026-04-01", "sha256:0")
NURSE = Reviewer("R. Nurse")
DOCTOR = Clinician("Dr. A", "1888888884", "207RH0003X")
FEWER = Granted(Decimal(40))


def waiting(sequence: int, outcome: Outcome = Outcome.PENDED) -> CaseLine:
    decision = Decision(outcome, RULES, ("why",))
    found = LineDetermination(sequence, "J9026", decision, None, REF, None, (), (), ("why",))
    return CaseLine(found, None, f"R{sequence}")


def case(*lines: CaseLine) -> Case:
    made = lines or (waiting(1), waiting(2, Outcome.NOT_COVERED_BY_POLICY))
    member = MemberId("M1")
    return Case(CaseId("c"), ClientId("clinic"), "2.2.1", AT, AT, member, frozenset(), (), PERIOD.start, made)


def asked(sequence: int = 1) -> InfoRequest:
    return InfoRequest("ACN-1", sequence, "Pathology report", (), "11526-1", AT, AT + timedelta(days=3))


def test_a_reviewer_approves_a_line_and_the_others_wait_on() -> None:
    later = AT + timedelta(hours=1)
    decided = apply(case(), {1: Approve(PERIOD)}, NURSE, later, "PA1")
    assert [line.determination.outcome for line in decided.lines] == [Outcome.APPROVED, Outcome.NOT_COVERED_BY_POLICY]
    assert decided.lines[0].authorization_number == "PA1"
    assert decided.lines[0].determination.notes == ()
    assert decided.decided_at == later
    assert decided.outcome is Outcome.PENDED
    assert [found.period for found in decided.authorizations()] == [PERIOD]


def test_a_number_keeps_its_day_when_another_line_is_decided_later() -> None:
    first = apply(case(), {1: Approve(PERIOD)}, NURSE, AT, "PA1")
    second = apply(first, {2: Approve(PERIOD)}, NURSE, AT + timedelta(days=1), "PA1")
    assert [line.issued_at or second.decided_at for line in second.lines] == [AT, AT + timedelta(days=1)]


def test_less_is_granted_with_a_reason() -> None:
    decided = apply(case(), {1: ApproveModified(FEWER, PERIOD, "Fewer vials are enough.")}, NURSE, AT, "PA1")
    (line, _) = decided.lines
    assert (line.determination.outcome, line.determination.granted) == (Outcome.MODIFIED, FEWER)
    assert line.determination.notes == ("Fewer vials are enough.",)
    assert line.authorization_number == "PA1"


def test_only_a_clinician_denies() -> None:
    with pytest.raises(Forbidden):
        apply(case(), {1: Deny("Not indicated.")}, NURSE, AT, "PA1")
    decided = apply(case(), {1: Deny("Not indicated.", "Call us.")}, DOCTOR, AT, "PA1")
    (line, _) = decided.lines
    assert (line.determination.decision.by, line.authorization_number) == (DOCTOR, None)
    assert line.determination.notes == ("Not indicated.", "Call us.")


def test_to_ask_leaves_the_line_waiting() -> None:
    decided = apply(case(), {1: Ask((asked(),))}, NURSE, AT, "PA1")
    assert decided.lines[0].determination.outcome is Outcome.PENDED
    assert decided.lines[0].determination.notes == ("why", "Pathology report")
    assert decided.asked == (asked(),)
    assert "ACN-1" in decided.numbers
    assert not asked().asks_form
    assert replace(asked(), loinc=None, link_ids=(LinkId("age"),)).asks_form


@pytest.mark.parametrize(
    "verdicts",
    [
        {},
        {9: Approve(PERIOD)},
        {1: Deny(" ")},
        {1: ApproveModified(FEWER, PERIOD, "")},
        {1: Ask(())},
        {1: Ask((asked(2),))},
        {1: Approve(DatePeriod(PERIOD.end, PERIOD.start))},
    ],
)
def test_what_makes_no_sense_is_refused(verdicts: dict[int, Verdict]) -> None:
    with pytest.raises(BusinessRule):
        apply(case(), verdicts, DOCTOR, AT, "PA1")


def test_what_is_decided_or_replaced_is_not_decided_again() -> None:
    decided = apply(case(), {1: Approve(PERIOD)}, NURSE, AT, "PA1")
    with pytest.raises(Conflict):
        apply(decided, {1: Deny("Not indicated.")}, DOCTOR, AT, "PA1")
    with pytest.raises(Conflict):
        apply(replace(case(), replaced_by=CaseId("d")), {1: Approve(PERIOD)}, NURSE, AT, "PA1")


def test_who_may_decide_what_cannot_be_built_otherwise() -> None:
    with pytest.raises(ValueError, match="clinician"):
        Decision(Outcome.DENIED, NURSE, ("because",))
    with pytest.raises(ValueError, match="terms"):
        Decision(Outcome.APPROVED, Administrative("plan-excludes"), ())
    for blank in (Reviewer, Administrative):
        with pytest.raises(ValueError, match="name"):
            blank(" ")
    assert Decision(Outcome.APPROVED, NURSE, ()).by_person
    assert not Decision(Outcome.DENIED, Administrative("plan-excludes"), ("because",)).by_person


@pytest.mark.parametrize(
    ("quantity", "unit", "serviced"),
    [
        (None, None, None),
        (Decimal(0), None, None),
        (Decimal("NaN"), None, None),
        (None, "mg", PERIOD),
        (None, None, DatePeriod(PERIOD.end, PERIOD.start)),
    ],
)
def test_what_is_granted_instead_is_something(
    quantity: Decimal | None, unit: str | None, serviced: DatePeriod | None
) -> None:
    with pytest.raises(ValueError, match=r"grant|unit"):
        Granted(quantity, unit, serviced)


def test_what_was_granted_before_stands_until_granted_anew_or_cancelled() -> None:
    before = Authorization("PA0", "imdelltra", MemberId("M1"), PERIOD)
    held = case(replace(waiting(1), previous=before))
    assert held.authorizations() == (before,)
    assert "PA0" in held.numbers
    anew = apply(held, {1: Approve(PERIOD)}, NURSE, AT, "PA1")
    assert [found.number for found in anew.authorizations()] == ["PA1"]
    denied = apply(held, {1: Deny("Not indicated.")}, DOCTOR, AT, "PA1")
    assert denied.authorizations() == (before,)
    gone = case(replace(waiting(1, Outcome.CANCELLED), previous=before))
    assert gone.authorizations() == ()
    assert replace(held, replaced_by=CaseId("d")).authorizations() == ()
