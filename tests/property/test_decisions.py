"""Properties of the rules over the real forms and the real CQL: no better answer worsens, no rule denies."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
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


# --- what the policy and the contract say, written a second time and by hand: nothing else may be approved

_SERVICED: Final = st.dates(date(2026, 1, 1), date(2028, 12, 31))
_RECEIVED: Final = date(2026, 12, 1)
_ANSWER: Final = st.sampled_from((True, True, True, None, False))
# By part of a request, what it may be; the first is as the policy wants it.
_PARTS: Final[dict[str, tuple[Any, st.SearchStrategy[Any]]]] = {
    **dict.fromkeys(_BOOLEANS, (True, _ANSWER)),
    "female-of-reproductive-potential": (False, st.sampled_from((True, True, False, None))),
    "contraception-counseling": (None, st.sampled_from((True, True, False, None))),
    "answered_birth": (
        date(1958, 2, 3),
        st.dates(date(2008, 1, 1), date(2010, 1, 1)) | st.sampled_from((date(2008, 12, 4), date(2008, 12, 5), None)),
    ),
    "recorded_birth": ("as answered", st.sampled_from(("as answered", date(1958, 2, 3), date(1960, 1, 1), None))),
    "serviced": (date(2026, 12, 4), _SERVICED),
    "diagnoses": (
        ["C34.90"],
        st.lists(st.sampled_from(("C34.90", "c34.11", "C50.911", "C79.31", "Z51.11")), max_size=3),
    ),
    "quantity": (61, st.sampled_from((1, 0.5, 0, -1, None))),
    "unit": ("unit", st.sampled_from(("mg", "bucket", None))),
    "age_of_answers": (0, st.sampled_from((1, 90, 91, -1, -2))),
    "status": ("completed", st.sampled_from(("amended", "in-progress"))),
    "automatic": ([], st.lists(st.sampled_from(_LINK_IDS), max_size=2, unique=True)),
    "coverage": (
        {},
        st.sampled_from(
            ({"status": "draft"}, {"period": {"end": "2026-12-31"}}, {"period": {"start": "2026-12-04"}})
        ),
    ),
    "order": (None, st.sampled_from(({}, {"status": "cancelled"}, {"doNotPerform": True}))),
}


@st.composite
def _requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request in which up to four parts are anything; requests in which all parts are would hardly ever be fine."""
    changed = draw(st.lists(st.sampled_from(sorted(_PARTS)), max_size=4, unique=True))
    found = {name: draw(any_of) if name in changed else good for name, (good, any_of) in _PARTS.items()}
    asked = (*_BOOLEANS, "female-of-reproductive-potential", "contraception-counseling")
    return {**found, "answers": {name: found[name] for name in asked}}


def _may_be_approved(asked: dict[str, Any]) -> bool:
    answers, serviced = asked["answers"], asked["serviced"]
    alone = {"step-up-dosing", "neurotoxicity-monitoring", "contraception-counseling"} & set(asked["automatic"])
    said = {name: None if name in alone else value for name, value in answers.items()}
    answered, recorded = asked["answered_birth"], _recorded(asked)
    born = answered or recorded
    lung = not asked["diagnoses"] or any(code.upper().startswith("C34") for code in asked["diagnoses"])
    period = asked["coverage"].get("period", {})
    return (
        asked["status"] != "in-progress"
        and -1 <= asked["age_of_answers"] <= 90
        and born is not None
        and recorded in {None, born}
        and serviced >= born.replace(year=born.year + 18)
        and all(said[name] is True for name in _BOOLEANS)
        and lung
        and (
            said["female-of-reproductive-potential"] is False
            or (said["female-of-reproductive-potential"] is True and said["contraception-counseling"] is True)
        )
        and date(2026, 4, 1) <= serviced <= date(2027, 12, 1)
        and (asked["quantity"] or 0) > 0
        and asked["unit"] in {"unit", "mg"}
        and "status" not in asked["coverage"]
        and period.get("start", "") <= serviced.isoformat() <= period.get("end", "9999")
        and not asked["order"]
    )


def _recorded(asked: dict[str, Any]) -> date | None:
    found: date | None = (
        asked["answered_birth"] if asked["recorded_birth"] == "as answered" else asked["recorded_birth"]
    )
    return found


@settings(_QUICK, max_examples=400)
@given(_requests())
def test_exactly_what_the_policy_allows_is_approved(rules: Rules, asked: dict[str, Any]) -> None:
    """No combination buys an approval, and none that is due is withheld."""
    answers = {name: value for name, value in asked["answers"].items() if value is not None}
    if asked["answered_birth"] is not None:
        answers["birth-date"] = asked["answered_birth"].isoformat()
    line = decide(
        rules,
        answers,
        birth_date=_recorded(asked) or "",
        serviced=asked["serviced"],
        created=_RECEIVED,
        received=datetime(_RECEIVED.year, _RECEIVED.month, _RECEIVED.day, 12, tzinfo=UTC),
        authored=_RECEIVED - timedelta(days=asked["age_of_answers"]),
        diagnoses=asked["diagnoses"],
        quantity=asked["quantity"],
        unit=asked["unit"],
        response_status=asked["status"],
        automatic=asked["automatic"],
        coverage=asked["coverage"],
        order=asked["order"],
    )
    assert (line.outcome is Outcome.APPROVED) is _may_be_approved(asked), line.notes
    if line.period is not None:
        start: date = asked["serviced"]
        assert line.period.start == start
        assert line.period.end + timedelta(days=1) == start.replace(year=start.year + 1)
