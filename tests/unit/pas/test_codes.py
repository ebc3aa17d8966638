"""The table of X12 names."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from service.app.compose import create_app
from service.errors import InvalidPolicy
from service.pas.administrative import EXCLUDED, NOT_COVERED
from service.pas.codes import TABLE, load_codes
from service.pas.numbers import authorization_number, reference_number
from service.policy.case import CaseId
from service.policy.dates import DatePeriod
from service.policy.decision import Administrative, Clinician, Decision, Outcome
from service.policy.determination import Granted
from service.settings import Settings


def test_the_own_table_names_every_decision() -> None:
    codes = load_codes()
    assert set(codes.review_actions) == set(Outcome) - {Outcome.ERROR}
    assert {"wrong-payer", "member-id-missing"} <= set(codes.rejects)
    assert not codes.decision_reasons


@pytest.mark.parametrize("lost", ["denied =", 'code = "T4"', "[entity]", "[decision-reason]", "= {"])
def test_an_incomplete_table_stops_the_start(tmp_path: Path, lost: str) -> None:
    broken = tmp_path / "x12.toml"
    lines = TABLE.read_text().splitlines()
    broken.write_text("\n".join(line for line in lines if lost not in line))
    with pytest.raises(InvalidPolicy):
        load_codes(broken)


def test_a_denial_by_the_plan_has_the_code_of_its_term_and_never_that_of_a_clinician(tmp_path: Path) -> None:
    own = tmp_path / "x12.toml"
    own.write_text(
        TABLE.read_text().replace("[decision-reason]", '[decision-reason]\ndenied = "Y1"\nplan-excludes = "Y2"')
    )
    codes = load_codes(own)

    def coded(by: Administrative | Clinician) -> Any:
        return codes.decision_reason(Decision(Outcome.DENIED, by, ("Why.",)))

    assert coded(Clinician("Dr. A", "1888888884", "207RH0003X"))["coding"][0]["code"] == "Y1"
    assert coded(Administrative(EXCLUDED.code))["coding"][0]["code"] == "Y2"
    assert coded(Administrative(NOT_COVERED.code)) is None
    own.write_text(own.read_text().replace("plan-excludes =", "plan-exclude ="))
    with pytest.raises(InvalidPolicy):
        load_codes(own)


def test_a_payers_own_table_replaces_ours(tmp_path: Path) -> None:
    own = tmp_path / "x12.toml"
    own.write_text(TABLE.read_text().replace('"Certified in total"', '"Our words"'))
    assert load_codes(own).review_action(Outcome.APPROVED)["coding"][0]["display"] == "Our words"


@pytest.mark.parametrize(
    ("granted", "code"),
    [
        (None, "A6"),
        (Granted(quantity=Decimal(3)), "A2"),
        (Granted(serviced=DatePeriod(date(2026, 9, 8), date(2026, 9, 9))), "A6"),
        (Granted(Decimal(3), "unit", DatePeriod(date(2026, 9, 8), date(2026, 9, 9))), "A6"),
    ],
)
def test_fewer_units_have_a_name_of_their_own_where_the_payer_wants_it(
    tmp_path: Path, granted: Granted | None, code: str
) -> None:
    """A2, certified in part, by one line of the table; without it every modified line is A6."""
    own = tmp_path / "x12.toml"
    own.write_text(TABLE.read_text().replace("# fewer-units =", "fewer-units ="))
    assert load_codes(own).review_action(Outcome.MODIFIED, granted)["coding"][0]["code"] == code
    assert load_codes().review_action(Outcome.MODIFIED, granted)["coding"][0]["code"] == "A6"
    assert load_codes(own).review_action(Outcome.APPROVED)["coding"][0]["code"] == "A1"


def test_the_setting_names_the_table(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"lost\.toml"):
        create_app(Settings(x12_codes=tmp_path / "lost.toml"), tmp_path)


def test_numbers_are_short_unlike_and_steady() -> None:
    cases = [CaseId(f"00000000-0000-4000-8000-{n:012d}") for n in range(500)]
    numbers = {authorization_number(case) for case in cases}
    numbers |= {reference_number(case, sequence) for case in cases for sequence in (1, 2)}
    assert len(numbers) == 1500
    assert {len(number) for number in numbers} == {12}
    assert not set("ILOU") & set("".join(number[2:] for number in numbers))
    assert authorization_number(cases[0]) == authorization_number(cases[0])
