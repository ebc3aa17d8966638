"""Who may decide what; unknown never approves and never denies."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.policy.decision import RULES, Clinician, Decision, Obstacle, Outcome, Rules, decide, overall
from service.policy.finding import CriterionResult, Evidence, Finding, Status, assess
from service.policy.model import Citation, Criterion, CriterionId, LinkId

SEEN = (Evidence("QuestionnaireResponse", "q", "Yes"),)
CLINICIAN = Clinician("A. Reviewer", "1234567893", "207RH0003X")
RANK = {Status.UNMET: 0, Status.UNKNOWN: 1, Status.MET: 2}


def criterion(name: str, *link_ids: str) -> Criterion:
    return Criterion(CriterionId(name), name, Citation("5.21.223", 2), name, tuple(map(LinkId, link_ids or ("q",))))


def finding(status: Status, name: str = "c") -> Finding:
    missing = (LinkId("q"),) if status is Status.UNKNOWN else ()
    return Finding(criterion(name), status, () if status is Status.UNKNOWN else SEEN, missing, ())


@given(st.lists(st.sampled_from(Status), max_size=6), st.booleans())
def test_rules_approve_only_when_everything_is_met_and_nothing_is_in_the_way(
    statuses: list[Status], blocked: bool
) -> None:
    obstacles = (Obstacle("x", "in the way"),) if blocked else ()
    decision = decide(tuple(map(finding, statuses)), obstacles, ["a note"])
    everything = bool(statuses) and all(status is Status.MET for status in statuses)
    assert (decision.outcome is Outcome.APPROVED) == (everything and not blocked)
    assert decision.outcome in {Outcome.APPROVED, Outcome.PENDED}
    assert decision.by is RULES


@given(st.lists(st.sampled_from(Status), min_size=1, max_size=5), st.data())
def test_a_better_finding_never_worsens_the_decision(statuses: list[Status], data: st.DataObject) -> None:
    better = [data.draw(st.sampled_from([s for s in Status if RANK[s] >= RANK[status]])) for status in statuses]
    before = decide(tuple(map(finding, statuses)), (), ["a note"])
    after = decide(tuple(map(finding, better)), (), ["a note"])
    assert before.outcome is not Outcome.APPROVED or after.outcome is Outcome.APPROVED


@given(st.permutations([Status.MET, Status.UNMET, Status.UNKNOWN, Status.MET]))
def test_the_order_of_findings_does_not_matter(statuses: list[Status]) -> None:
    assert decide(tuple(map(finding, statuses)), (), ["n"]).outcome is Outcome.PENDED


@pytest.mark.parametrize("by", [RULES, Rules()])
def test_rules_cannot_deny(by: Rules) -> None:
    with pytest.raises(ValueError, match="clinician"):
        Decision(Outcome.DENIED, by, ("because",))


def test_a_clinician_denies_with_a_reason() -> None:
    assert Decision(Outcome.DENIED, CLINICIAN, ("not small cell",)).outcome is Outcome.DENIED
    with pytest.raises(ValueError, match="reason"):
        Decision(Outcome.DENIED, CLINICIAN, (" ",))


@pytest.mark.parametrize("gap", ["name", "npi", "specialty"])
def test_nobody_denies_anonymously(gap: str) -> None:
    known = {"name": "A", "npi": "1234567893", "specialty": "207RH0003X", gap: " "}
    with pytest.raises(ValueError, match="name, NPI and specialty"):
        Clinician(**known)


def test_rules_authorize_what_was_requested_or_nothing() -> None:
    with pytest.raises(ValueError, match="exactly"):
        Decision(Outcome.MODIFIED, RULES, ())


def test_a_pended_line_says_why() -> None:
    with pytest.raises(ValueError, match="missing"):
        Decision(Outcome.PENDED, RULES, ())


@pytest.mark.parametrize("pair", list(product(Outcome, repeat=2)))
def test_the_whole_is_approved_only_if_every_line_is(pair: tuple[Outcome, Outcome]) -> None:
    whole = overall(pair)
    assert (whole is Outcome.APPROVED) == (set(pair) == {Outcome.APPROVED})
    assert (whole is Outcome.DENIED) == (set(pair) == {Outcome.DENIED})
    assert overall(reversed(pair)) is whole


def test_a_line_that_nobody_covers_pends_the_whole() -> None:
    assert overall([Outcome.APPROVED, Outcome.NOT_COVERED_BY_POLICY]) is Outcome.PENDED
    assert overall([Outcome.NOT_COVERED_BY_POLICY]) is Outcome.NOT_COVERED_BY_POLICY


# --- findings


def assessed(
    holds: bool | None, *, doubts: tuple[Evidence, ...] = (), evidence: tuple[Evidence, ...] = SEEN
) -> Finding:
    result = CriterionResult(holds, evidence)
    return assess([criterion("c", "q", "r")], {"c": result}, missing=frozenset(), doubts={LinkId("r"): doubts})[0]


def test_null_is_unknown_and_says_what_to_ask() -> None:
    found = assessed(None, evidence=())
    assert found.status is Status.UNKNOWN
    assert found.missing == ("q", "r")


def test_a_doubted_answer_never_meets_a_criterion() -> None:
    assert assessed(True, doubts=SEEN).status is Status.UNKNOWN


def test_an_undoubted_answer_that_fails_a_criterion_stands_beside_a_doubted_one() -> None:
    assert assessed(False, doubts=SEEN).status is Status.UNMET
    elsewhere = (Evidence("Patient", "birthDate", "2020-01-01"),)
    assert assessed(False, doubts=SEEN, evidence=elsewhere).status is Status.UNKNOWN


def test_conflicts_and_missing_evidence_are_unknown_whatever_the_logic_says() -> None:
    conflicted = CriterionResult(True, SEEN, conflicts=SEEN)
    (found,) = assess([criterion("c")], {"c": conflicted}, missing=frozenset(), doubts={})
    assert found.status is Status.UNKNOWN
    assert assessed(True, evidence=()).status is Status.UNKNOWN


def test_a_finding_cannot_hide_its_reason() -> None:
    with pytest.raises(ValueError, match="without evidence"):
        Finding(criterion("c"), Status.MET, (), (), ())
    with pytest.raises(ValueError, match="missing"):
        Finding(criterion("c"), Status.UNKNOWN, (), (), ())
