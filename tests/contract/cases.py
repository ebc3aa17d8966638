"""Cases and acceptances to store, and strategies that make every shape of case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from service.policy.case import (
    Authorization,
    Case,
    CaseId,
    CaseLine,
    ClientId,
    InfoRequest,
    MemberId,
    Npi,
    Urgency,
)
from service.policy.dates import DatePeriod
from service.policy.decision import RULES, Administrative, Clinician, Decision, Obstacle, Outcome, Reviewer
from service.policy.determination import GRANTED, Granted, LineDetermination
from service.policy.finding import Evidence, Finding, Status
from service.policy.model import INITIAL, RENEWAL, Citation, Criterion, CriterionId, LinkId, PolicyRef
from service.ports import Acceptance, Assertion, StoredReply

NOW = datetime(2026, 12, 1, 15, 30, 0, 123456, tzinfo=UTC)
EHR = ClientId("ehr-1")
MEMBER = MemberId("M-1")
POLICY = PolicyRef("policy-1", "2026-04-01", "sha256:abc")
CRITERION = Criterion(CriterionId("age"), "18 or older", Citation("1.2.3", 2), "Age", (LinkId("birth-date"),))


def approved_line(start: date, number: str, *, policy: PolicyRef = POLICY) -> CaseLine:
    finding = Finding(CRITERION, Status.MET, (Evidence("Patient", "birthDate", "1958-02-03"),), (), ())
    period = DatePeriod(start, start + timedelta(days=364))
    decision = Decision(Outcome.APPROVED, RULES, ())
    return CaseLine(
        LineDetermination(1, "C1", decision, period, policy, INITIAL, (finding,), (), ("met",)), number, f"R-{number}"
    )


def pended_line() -> CaseLine:
    finding = Finding(CRITERION, Status.UNKNOWN, (), (LinkId("birth-date"),), ())
    decision = Decision(Outcome.PENDED, RULES, ("no birth date",))
    return CaseLine(LineDetermination(1, None, decision, None, None, None, (finding,), (), ()), None, "R-0")


def case(number: int, *lines: CaseLine, **changes: Any) -> Case:
    made = Case(
        id=CaseId(f"00000000-0000-4000-8000-{number:012d}"),
        client=EHR,
        guide_version="2.2.1",
        received_at=NOW,
        decided_at=NOW + timedelta(milliseconds=7),
        member=MEMBER,
        providers=frozenset({Npi("1234567893")}),
        claim_identifiers=("urn:x|1",),
        first_service=date(2026, 12, 4),
        lines=lines or (pended_line(),),
    )
    return replace(made, **changes)


def acceptance(of: Case, content_hash: str = "sha256:1", **changes: Any) -> Acceptance:
    reply = StoredReply(of.id, 200, b'{"reply": "' + of.id.encode() + b'"}')
    request = b'{"request" :72.50, "odd": "\xff\x00"}'
    audit = {"decision": of.outcome.value, "quantity": Decimal("72.50")}
    return replace(Acceptance(of, content_hash, request, reply, audit), **changes)


def assertion(number: int, **changes: Any) -> Assertion:
    made = Assertion(
        id=f"assertion-{number}",
        client=EHR,
        order_key="order-1",
        coverage_key="coverage-1",
        order_reference="MedicationRequest/1",
        coverage_reference="Coverage/1",
        policy_id=None,
        questionnaire="https://payer.example.org/Questionnaire/q",
        made_at=NOW,
        shown={"pa-needed": "auth-needed", "amount": Decimal("1.50"), "list": [1, True, None]},
    )
    return replace(made, **changes)


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_filled = _text.filter(lambda text: bool(text.strip()))
_texts = st.lists(_text, max_size=3).map(tuple)
_evidence = st.builds(Evidence, _text, _text, _text)
_some_evidence = st.lists(_evidence, min_size=1, max_size=3).map(tuple)
_instants = st.datetimes(timezones=st.just(UTC), min_value=datetime(1990, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001 hypothesis takes bounds without zone and adds ours
_criteria = st.builds(
    Criterion,
    id=_text,
    text=_text,
    citation=st.builds(Citation, _text, st.integers(1, 900)),
    define=_text,
    link_ids=_texts,
    unmet_quote=st.none() | _text,
)
_findings = st.builds(
    Finding,
    _criteria,
    st.sampled_from(Status),
    evidence=_some_evidence,
    missing=st.lists(_text, min_size=1, max_size=2).map(tuple),
    conflicts=st.lists(_evidence, max_size=2).map(tuple),
)
_clinicians = st.builds(Clinician, _filled, _filled, _filled)
_people = _clinicians | st.builds(Reviewer, _filled)
_periods = st.builds(DatePeriod, st.dates(), st.dates())
_quantities = st.decimals("0.001", 10**6, places=3)
_granted = st.builds(Granted, _quantities, st.none() | _text) | st.builds(
    Granted,
    serviced=st.tuples(st.dates(), st.dates()).map(sorted).map(lambda pair: DatePeriod(*pair)),
)
_authorizations = st.builds(Authorization, _text, _text, _text, _periods)
_asked = st.builds(
    InfoRequest,
    control_number=_text,
    sequence=st.integers(1, 9),
    text=_text,
    link_ids=_texts,
    loinc=st.none() | _text,
    asked_at=_instants,
    due=_instants,
    answered_at=st.none() | _instants,
)


@st.composite
def _lines(draw: st.DrawFn) -> CaseLine:
    outcome = draw(st.sampled_from(Outcome))
    actors = {
        Outcome.DENIED: _clinicians | st.builds(Administrative, _filled),
        Outcome.MODIFIED: _people,
    }.get(outcome, st.just(RULES) | _people)
    reasons = draw(st.lists(_filled, min_size=1, max_size=2).map(tuple))
    decision = Decision(outcome, draw(actors), reasons)
    granted = outcome in GRANTED
    found = LineDetermination(
        sequence=draw(st.integers(1, 99)),
        code=draw(st.none() | _text),
        decision=decision,
        period=draw(_periods) if granted else None,
        policy=draw(st.none() | st.builds(PolicyRef, _text, _text, _text)),
        pathway=draw(st.sampled_from([None, INITIAL, RENEWAL])),
        findings=draw(st.lists(_findings, max_size=2).map(tuple)),
        obstacles=draw(st.lists(st.builds(Obstacle, _text, _text), max_size=2).map(tuple)),
        notes=draw(_texts),
        granted=draw(_granted) if outcome is Outcome.MODIFIED else None,
    )
    return CaseLine(
        found,
        draw(_text) if granted else None,
        draw(_text),
        draw(st.none() | _authorizations),
        draw(st.none() | _instants),
        draw(st.none() | st.just({"sequence": 1, "quantity": {"value": Decimal("72.50")}})),
        draw(st.none() | _text),
    )


def any_case() -> st.SearchStrategy[Case]:
    return st.builds(
        Case,
        id=_text,
        client=_text,
        guide_version=_text,
        received_at=_instants,
        decided_at=_instants,
        member=st.none() | _text,
        providers=st.frozensets(_text, max_size=3),
        claim_identifiers=_texts,
        first_service=st.none() | st.dates(),
        lines=st.lists(_lines(), min_size=1, max_size=2).map(tuple),
        linked=_texts,
        revision=st.integers(1, 99),
        urgency=st.sampled_from(Urgency),
        due=st.none() | _instants,
        asked=st.lists(_asked, max_size=2).map(tuple),
        replaces=st.none() | _text,
        replaced_by=st.none() | _text,
        held_by=st.none() | _text,
        claim_url=st.none() | _text,
    )
