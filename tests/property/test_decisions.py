"""Properties of the rules over the real forms and the real CQL: no better answer worsens, no rule denies."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any, Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app.parts import Rules
from service.cases.run import Bench, determine_case
from service.cases.table import Given
from service.policy.dates import PartialDate
from service.policy.decision import RULES, Outcome
from service.policy.determination import LineDetermination
from service.policy.finding import Status

# By question, answers from worst to best; the same question may be unanswered in between.
_BOOLEANS: Final[dict[str, tuple[bool | None, ...]]] = {
    "es-sclc": (False, None, True),
    "progression-on-platinum": (False, None, True),
    "step-up-dosing": (False, None, True),
    "neurotoxicity-monitoring": (False, None, True),
}
# Pairs of reproductive potential and counselling, from worst to best.
_CONTRACEPTION: Final = ((True, False), (None, None), (True, None), (True, True), (False, None))
_RANK: Final = {Status.UNMET: 0, Status.UNKNOWN: 1, Status.MET: 2}
_QUICK: Final = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)

grades = st.fixed_dictionaries(
    {question: st.integers(0, 2) for question in _BOOLEANS} | {"contraception": st.integers(0, 4)}
)


def decide(rules: Rules, answers: dict[str, Any], **changes: Any) -> LineDetermination:
    loaded = next(loaded for loaded in rules.registry.all() if loaded.policy.ref.id == "imdelltra")
    bench = Bench(rules.registry, rules.determiner, rules.check, rules.settings)
    base = {
        "serviced": "2026-12-04",
        "created": "2026-12-01",
        "quantity": 61,
        "unit": "unit",
        "birth_date": "1958-02-03",
    }
    case = Given.model_validate({**base, **changes, "answers": answers})
    return asyncio.run(determine_case(bench, loaded, case))


def answers_of(graded: dict[str, int]) -> dict[str, Any]:
    potential, advised = _CONTRACEPTION[graded["contraception"]]
    said = {question: choices[graded[question]] for question, choices in _BOOLEANS.items()}
    said |= {"female-of-reproductive-potential": potential, "contraception-counseling": advised}
    return {question: value for question, value in said.items() if value is not None}


@_QUICK
@given(grades, st.data())
def test_a_better_answer_never_worsens_a_decision(rules: Rules, graded: dict[str, int], data: st.DataObject) -> None:
    better = {
        name: data.draw(st.integers(grade, 4 if name == "contraception" else 2)) for name, grade in graded.items()
    }
    before, after = decide(rules, answers_of(graded)), decide(rules, answers_of(better))
    for old, new in zip(before.findings, after.findings, strict=True):
        assert _RANK[new.status] >= _RANK[old.status], old.criterion.id
    assert before.outcome is not Outcome.APPROVED or after.outcome is Outcome.APPROVED


_VALUES: Final = st.one_of(
    st.just(""),
    st.booleans().map(lambda value: {"valueBoolean": value}),
    st.lists(st.booleans().map(lambda value: {"valueBoolean": value}), min_size=2, max_size=3),
    st.sampled_from(["yes", "1958"]).map(lambda text: {"valueString": text}),
    st.sampled_from(["1958-02-03", "2012", "2030-01-01", "1700-01-01"]).map(lambda text: {"valueDate": text}),
)
_LINK_IDS: Final = (*_BOOLEANS, "birth-date", "female-of-reproductive-potential", "contraception-counseling", "other")


@_QUICK
@given(
    st.dictionaries(st.sampled_from(_LINK_IDS), _VALUES),
    st.sampled_from(["initial", "renewal"]),
    st.sampled_from(["unit", "bucket"]),
    st.sampled_from(["2026-12-04", "2020-01-01", "2026-12"]),
)
def test_whatever_is_answered_rules_approve_or_pend(
    rules: Rules, answers: dict[str, Any], form: str, unit: str, serviced: str
) -> None:
    line = decide(rules, {k: v for k, v in answers.items() if v != ""}, form=form, unit=unit, serviced=serviced)
    assert line.outcome in {Outcome.APPROVED, Outcome.PENDED}
    assert line.decision.by is RULES
    assert line.outcome is Outcome.APPROVED or line.notes
    if line.outcome is Outcome.APPROVED:
        assert {finding.status for finding in line.findings} == {Status.MET}


@_QUICK
@given(
    st.dates(date(2008, 11, 1), date(2009, 1, 31)),
    st.sampled_from(["year", "month", "day"]),
    st.dates(date(2026, 11, 25), date(2027, 1, 10)),
)
def test_a_partial_birth_date_says_what_every_day_of_it_says(
    rules: Rules, born: date, precision: str, serviced: date
) -> None:
    text = {"year": f"{born.year:04d}", "month": f"{born:%Y-%m}", "day": born.isoformat()}[precision]
    partial = PartialDate.parse(text)
    assert partial is not None
    days = {partial.earliest(), partial.latest(), born}
    whole = {_age(rules, day.isoformat(), serviced) for day in days}
    expected = whole.pop() if len(whole) == 1 else Status.UNKNOWN
    assert _age(rules, text, serviced) is expected


def _age(rules: Rules, born: str, serviced: date) -> Status:
    day = serviced.isoformat()
    line = decide(
        rules, {"birth-date": born}, birth_date="", serviced=day, created=(serviced - timedelta(days=1)).isoformat()
    )
    return line.findings[0].status
