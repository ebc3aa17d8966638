"""Who may do what with a case: nobody but a clinician denies, and no decision is lost to another."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import BusinessRule, Conflict, Forbidden, ServiceError
from service.policy.case import Case, CaseId, CaseLine, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Clinician, Decision, Outcome
from service.policy.determination import Granted, LineDetermination
from service.policy.review import WAITING, Approve, ApproveModified, Deny, Verdict
from service.policy.reviewer import Person, Role, claim, decide, is_npi, release, waits

NOW = datetime(2026, 12, 1, 15, 30, tzinfo=UTC)
PERIOD = DatePeriod(date(2026, 12, 4), date(2027, 12, 3))
CLINICIAN = Person("cora", "Cora", Role.CLINICIAN, Clinician("Cora", "1003000126", "207RH0003X"))
REVIEWER = Person("rita", "Rita", Role.REVIEWER)
AUDITOR = Person("ada", "Ada", Role.AUDITOR)
LESS = ApproveModified(Granted(Decimal(3), "mg"), PERIOD, "Three will do.")


def waiting_case(lines: int = 2) -> Case:
    def line(sequence: int) -> CaseLine:
        decision = Decision(Outcome.PENDED, RULES, ("something is missing",))
        found = LineDetermination(sequence, "C1", decision, None, None, None, (), (), ("something is missing",))
        return CaseLine(found, None, f"RF-{sequence}")

    return Case(
        id=CaseId("case-1"),
        client=ClientId("ehr"),
        guide_version="2.2.1",
        received_at=NOW,
        decided_at=NOW,
        member=MemberId("M-1"),
        providers=frozenset(),
        claim_identifiers=(),
        first_service=PERIOD.start,
        lines=tuple(line(sequence) for sequence in range(1, lines + 1)),
    )


people = st.sampled_from([CLINICIAN, REVIEWER, AUDITOR])
verdicts: st.SearchStrategy[Verdict] = st.one_of(
    st.just(Approve(PERIOD)), st.just(LESS), st.builds(Deny, st.text(max_size=3), st.text(max_size=3))
)
moves = st.lists(st.tuples(people, st.dictionaries(st.integers(0, 3), verdicts, max_size=3)), max_size=6)


@given(moves)
def test_nobody_but_a_clinician_denies_and_no_decision_is_lost(
    sent: list[tuple[Person, dict[int, Verdict]]],
) -> None:
    case = waiting_case()
    for person, chosen in sent:
        before = {line.determination.sequence: line for line in case.lines}
        try:
            case = decide(replace(case, held_by=None), chosen, person, NOW, "PA-1")
        except ServiceError:
            continue
        for line in case.lines:
            earlier = before[line.determination.sequence]
            if earlier.determination.outcome not in WAITING or line.determination.sequence not in chosen:
                # A number that was given before keeps its day, which is written down now.
                assert replace(line, issued_at=earlier.issued_at) == earlier
                assert earlier.issued_at in {None, line.issued_at}
            else:
                assert line.determination.decision.by == person.actor()
    for line in case.lines:
        if line.determination.outcome is Outcome.DENIED:
            assert line.determination.decision.by == CLINICIAN.clinician
            assert line.determination.decision.reasons[0].strip()


@pytest.mark.parametrize("person", [REVIEWER, AUDITOR])
def test_a_denial_by_anybody_else_is_forbidden(person: Person) -> None:
    with pytest.raises(Forbidden):
        decide(waiting_case(), {1: Deny("Not met")}, person, NOW, "PA-1")


def test_an_auditor_does_nothing_to_a_case() -> None:
    with pytest.raises(Forbidden):
        decide(waiting_case(), {1: Approve(PERIOD)}, AUDITOR, NOW, "PA-1")
    with pytest.raises(Forbidden):
        claim(waiting_case(), AUDITOR)
    with pytest.raises(Forbidden):
        release(replace(waiting_case(), held_by="ada"), AUDITOR)


def test_a_denial_says_why() -> None:
    with pytest.raises(BusinessRule):
        decide(waiting_case(), {1: Deny("  ")}, CLINICIAN, NOW, "PA-1")
    denied = decide(waiting_case(), {1: Deny("Not met: age", "See page 2")}, CLINICIAN, NOW, "PA-1")
    assert denied.lines[0].determination.notes == ("Not met: age", "See page 2")
    assert denied.lines[0].determination.decision == Decision(Outcome.DENIED, CLINICIAN.actor(), ("Not met: age",))


def test_a_case_that_somebody_holds_is_decided_by_nobody_else() -> None:
    held = claim(waiting_case(), REVIEWER)
    with pytest.raises(Conflict, match="rita has this case"):
        decide(held, {1: Approve(PERIOD)}, CLINICIAN, NOW, "PA-1")
    assert decide(held, {1: Approve(PERIOD)}, REVIEWER, NOW, "PA-1").outcome is Outcome.PENDED


def test_a_case_stays_held_until_nothing_waits() -> None:
    half = decide(waiting_case(), {1: Approve(PERIOD)}, REVIEWER, NOW, "PA-1")
    assert (waits(half), half.held_by) == (True, "rita")
    whole = decide(half, {2: LESS}, REVIEWER, NOW, "PA-1")
    assert (waits(whole), whole.held_by, whole.authorization_number) == (False, None, "PA-1")


def test_only_one_holds_a_case() -> None:
    held = claim(waiting_case(), REVIEWER)
    assert claim(held, REVIEWER) == held
    with pytest.raises(Conflict, match="rita has this case"):
        claim(held, CLINICIAN)
    assert claim(held, CLINICIAN, take_over=True).held_by == "cora"
    with pytest.raises(Conflict, match="rita has this case"):
        release(held, CLINICIAN)
    assert release(held, REVIEWER).held_by is None
    with pytest.raises(Conflict, match="Nobody holds"):
        release(waiting_case(), REVIEWER)


def test_what_is_decided_or_replaced_is_not_claimed() -> None:
    decided = decide(waiting_case(1), {1: Approve(PERIOD)}, REVIEWER, NOW, "PA-1")
    for case in (decided, replace(waiting_case(), replaced_by=CaseId("case-2"))):
        with pytest.raises(Conflict):
            claim(case, REVIEWER)
        with pytest.raises(Conflict):
            decide(case, {1: Approve(PERIOD)}, REVIEWER, NOW, "PA-1")


def test_a_person_is_what_their_role_says() -> None:
    with pytest.raises(ValueError, match="nobody else"):
        Person("rita", "Rita", Role.REVIEWER, CLINICIAN.clinician)
    with pytest.raises(ValueError, match="nobody else"):
        Person("cora", "Cora", Role.CLINICIAN)
    with pytest.raises(ValueError, match="name"):
        Person("cora", "Somebody Else", Role.CLINICIAN, CLINICIAN.clinician)
    with pytest.raises(ValueError, match="login"):
        Person(" ", "Rita", Role.REVIEWER)


@pytest.mark.parametrize(
    ("text", "holds"), [("1003000126", True), ("1003000127", False), ("100300012", False), ("١٠٠٣٠٠٠١٢٦", False)]
)
def test_an_npi_has_a_check_digit(text: str, holds: bool) -> None:
    assert is_npi(text) is holds
