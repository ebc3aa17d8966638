"""Denials by the plan's own terms: off by default, and only where the terms are sure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.policy.case import MemberId
from service.policy.decision import Outcome
from service.policy.membership import Membership, Missing, NoMember, OpenPeriod, Presented, Verdict
from service.policy.model import DrugCode
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import cancelled
from tests.unit.pas.payer import Payer, action_of, code_of, extension_of, response_of

Json = dict[str, Any]
EXCLUDED = Membership(
    MemberId("M000123"), "basic", OpenPeriod(None, None), frozenset({DrugCode(b.HCPCS, "J9026")}), ()
)
COVERED = replace(EXCLUDED, excluded=frozenset())


class Directory:
    """Says the same of everybody."""

    def __init__(self, verdict: Verdict | None) -> None:
        self.verdict = verdict

    async def find(self, presented: Presented, on: date) -> Verdict | None:
        return self.verdict


def switched_on(payer: Payer, verdict: Verdict | None = None, *, trust: bool = True) -> Payer:
    changed = payer.settings.model_copy(update={"administrative_denials": True, "trust_presented_coverage": trust})
    payer.dependencies = replace(payer.dependencies, settings=changed, members=Directory(verdict))
    return payer


def covered(**period: str) -> Json:
    return b.bundle({b.COVERAGE: b.coverage(period=period)})


@pytest.mark.parametrize("verdict", [EXCLUDED, NoMember(Missing.NO_ACTIVE_COVERAGE)])
async def test_a_term_of_the_plan_denies_without_a_person(payer: Payer, verdict: Verdict) -> None:
    response = response_of(await switched_on(payer, verdict).submit(b.bundle()))
    (item,) = response["item"]
    assert (code_of(item), response["outcome"]) == ("A3", "complete")
    assert "preAuthRef" not in response
    reviewer = extension_of(response, "claimResponseReviewer")
    assert reviewer is not None
    assert reviewer["extension"] == [{"url": "wasHumanReviewedFlag", "valueBoolean": False}]
    assert "reasonCode" not in action_of(item)
    term, appeal = response["processNote"]
    assert term["text"]
    assert appeal["text"].startswith(payer.settings.appeal_text)
    assert item["noteNumber"] == [1, 2]
    (case,) = await payer.cases()
    assert case.lines[0].determination.findings


@pytest.mark.parametrize(
    "verdict", [COVERED, NoMember(Missing.NO_MEMBER_FOUND), NoMember(Missing.COVERAGE_NOT_FOUND)]
)
async def test_doubt_about_the_member_denies_nothing(payer: Payer, verdict: Verdict) -> None:
    response = response_of(await switched_on(payer, verdict).submit(b.bundle()))
    assert code_of(response["item"][0]) == ("A1" if verdict is COVERED else "A4")


@pytest.mark.parametrize("period", [{"end": "2026-09-07"}, {"start": "2026-09-09"}, {"end": "2026-08"}])
async def test_without_a_directory_a_trusted_coverage_that_has_ended_denies(payer: Payer, period: Json) -> None:
    response = response_of(await switched_on(payer).submit(covered(**period)))
    assert code_of(response["item"][0]) == "A3"


@pytest.mark.parametrize(
    "period",
    [{"end": "2026-09"}, {"start": "2026-09"}, {"start": "2026"}, {"start": "2026-12-31", "end": "2026-01-01"}],
)
async def test_a_period_that_may_hold_the_day_or_is_absurd_pends(payer: Payer, period: Json) -> None:
    response = response_of(await switched_on(payer).submit(covered(**period)))
    assert code_of(response["item"][0]) == "A4"


async def test_a_coverage_that_is_not_trusted_denies_nothing(payer: Payer) -> None:
    response = response_of(await switched_on(payer, trust=False).submit(covered(end="2026-09-07")))
    assert code_of(response["item"][0]) == "A4"


async def test_an_excluded_code_is_not_guessed_from_a_name(payer: Payer) -> None:
    item = b.item()
    item["productOrService"] = {"text": "Imdelltra"}
    response = response_of(await switched_on(payer, EXCLUDED).submit(b.bundle({b.CLAIM: b.claim(item)})))
    assert code_of(response["item"][0]) == "A4"


async def test_one_line_is_excluded_and_the_other_is_not(payer: Payer) -> None:
    other = b.item(2, code="99212")
    other["extension"] = other["extension"][:3]
    bundle = b.bundle({b.CLAIM: b.claim(b.item(1), other)})
    response = response_of(await switched_on(payer, EXCLUDED).submit(bundle))
    assert [code_of(item) for item in response["item"]] == ["A3", "A4"]
    assert response["outcome"] == "partial"


async def test_a_withdrawal_and_an_appeal_are_not_denied_by_the_plan(payer: Payer) -> None:
    switched_on(payer, EXCLUDED)
    appeal = b.item()
    certification = b.coded("https://codesystem.x12.org/005010/1322", "2")
    appeal["extension"][1]["valueCodeableConcept"] = certification
    for item in (cancelled(b.item()), appeal):
        response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(item)})))
        assert code_of(response["item"][0]) == "A4"


_VERDICTS = st.sampled_from(
    [None, EXCLUDED, COVERED, *(NoMember(reason) for reason in Missing), replace(COVERED, plan=None)]
)
_DAYS = st.dates(date(2025, 1, 1), date(2028, 1, 1)).map(date.isoformat)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    verdict=_VERDICTS,
    answers=st.fixed_dictionaries({name: st.booleans() for name in b.ANSWERS if name != "birth-date"}),
    period=st.fixed_dictionaries({}, optional={"start": _DAYS, "end": _DAYS}),
    status=st.sampled_from(["active", "cancelled"]),
    code=st.sampled_from(["J9026", "99212"]),
    trust=st.booleans(),
)
async def test_with_default_settings_no_rule_ever_denies(
    new_payer: Callable[[], Payer],
    *,
    verdict: Verdict | None,
    answers: Json,
    period: Json,
    status: str,
    code: str,
    trust: bool,
) -> None:
    payer = new_payer()
    changed = payer.settings.model_copy(update={"trust_presented_coverage": trust})
    assert not changed.administrative_denials
    payer.dependencies = replace(payer.dependencies, settings=changed, members=Directory(verdict))
    coverage = b.coverage(status=status, **({"period": period} if period else {}))
    response = b.response({**answers, "birth-date": b.ANSWERS["birth-date"]})
    await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(code=code)), b.COVERAGE: coverage, b.RESPONSE: response}))
    (case,) = await payer.cases()
    assert {line.determination.outcome for line in case.lines}.isdisjoint({Outcome.DENIED, Outcome.MODIFIED})
