"""Numbers and authorizations of a case; which policy a drug falls under."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from service.app.parts import Rules
from service.errors import InvalidPolicy
from service.policy.case import Case, CaseId, CaseLine, ClientId, MemberId
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Decision, Outcome
from service.policy.determination import LineDetermination, as_json
from service.policy.match import Named, match_policy
from service.policy.model import DrugCode, Policy, PolicyRef

PERIOD = DatePeriod(date(2026, 12, 4), date(2027, 12, 3))
REF = PolicyRef("imdelltra", "2026-04-01", "sha256:0")


def line(outcome: Outcome, sequence: int = 1) -> LineDetermination:
    granted = outcome is Outcome.APPROVED
    decision = Decision(outcome, RULES, () if granted else ("why",))
    return LineDetermination(sequence, "J9026", decision, PERIOD if granted else None, REF, None, (), (), ())


def case(*lines: CaseLine) -> Case:
    at = datetime(2026, 12, 1, tzinfo=UTC)
    return Case(
        CaseId("c"), ClientId("clinic"), "2.2.1", at, at, MemberId("M1"), frozenset(), (), date(2026, 12, 4), lines
    )


def test_only_what_is_granted_has_a_number() -> None:
    with pytest.raises(ValueError, match="number"):
        CaseLine(line(Outcome.APPROVED), None, "R1")
    with pytest.raises(ValueError, match="number"):
        CaseLine(line(Outcome.PENDED), "PA1", "R1")


def test_a_case_authorizes_its_granted_lines() -> None:
    mixed = case(CaseLine(line(Outcome.PENDED), None, "R1"), CaseLine(line(Outcome.APPROVED, 2), "PA2", "R2"))
    assert mixed.outcome is Outcome.PENDED
    assert mixed.authorization_number == "PA2"
    assert [(a.number, a.period) for a in mixed.authorizations()] == [("PA2", PERIOD)]


def test_a_line_that_no_policy_covers_waits_for_a_reviewer() -> None:
    assert case(CaseLine(line(Outcome.NOT_COVERED_BY_POLICY), None, "R1")).outcome is Outcome.PENDED


def test_the_period_belongs_to_an_approval() -> None:
    with pytest.raises(ValueError, match="period"):
        replace(line(Outcome.PENDED), period=PERIOD)


def test_the_json_is_the_contracts() -> None:
    shown = as_json(case(CaseLine(line(Outcome.APPROVED), "PA1", "R1")).determination)
    assert shown == {
        "decision": "approved",
        "lines": [
            {
                "sequence": 1,
                "code": "J9026",
                "decision": "approved",
                "period": {"start": "2026-12-04", "end": "2027-12-03"},
                "policy": {"id": "imdelltra", "version": "2026-04-01", "digest": "sha256:0"},
                "pathway": None,
                "criteria": [],
                "notes": [],
            }
        ],
    }


# --- matching


@pytest.fixture
def policy(rules: Rules) -> Policy:
    return next(loaded.policy for loaded in rules.registry.all() if loaded.policy.ref.id == "imdelltra")


def by_name(*names: str) -> Named:
    return Named(frozenset(), names)


def test_a_name_counts_without_a_code(policy: Policy) -> None:
    match = match_policy([policy], by_name("TARLATAMAB-DLLE 10 mg"), date(2026, 5, 1))
    assert match is not None
    assert match.revision is policy


def test_another_billing_code_decides_against_the_name(policy: Policy) -> None:
    other = Named(frozenset({DrugCode(policy.drug.billing.system, "J9999")}), ("Imdelltra",), by_code=True)
    assert match_policy([policy], other, date(2026, 5, 1)) is None


def test_before_it_takes_effect_there_is_no_revision(policy: Policy) -> None:
    match = match_policy([policy], by_name("Imdelltra"), date(2026, 3, 31))
    assert match is not None
    assert match.revision is None
    assert match.earliest == date(2026, 4, 1)


def test_each_revision_serves_its_own_days(policy: Policy) -> None:
    earlier = replace(policy, ends=date(2026, 12, 31))
    later = replace(policy, ref=replace(policy.ref, version="2027"), effective=date(2027, 1, 1))
    for day, expected in ((date(2026, 12, 31), earlier), (date(2027, 1, 1), later)):
        match = match_policy([later, earlier], by_name("Imdelltra"), day)
        assert match is not None
        assert match.revision == expected


def test_two_policies_for_one_drug_are_an_error_that_names_both(policy: Policy) -> None:
    twin = replace(policy, ref=replace(policy.ref, id="twin"))
    with pytest.raises(InvalidPolicy, match="imdelltra, twin"):
        match_policy([policy, twin], by_name("Imdelltra"), date(2026, 5, 1))
    again = replace(policy, ref=replace(policy.ref, version="again"))
    with pytest.raises(InvalidPolicy, match="two revisions"):
        match_policy([policy, again], by_name("Imdelltra"), date(2026, 5, 1))
