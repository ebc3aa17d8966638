"""The table of X12 names."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import InvalidPolicy
from service.pas.codes import TABLE, load_codes
from service.pas.numbers import authorization_number, reference_number
from service.policy.case import CaseId
from service.policy.decision import Outcome


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


def test_a_payers_own_table_replaces_ours(tmp_path: Path) -> None:
    own = tmp_path / "x12.toml"
    own.write_text(TABLE.read_text().replace('"Certified in total"', '"Our words"'))
    assert load_codes(own).review_action(Outcome.APPROVED)["coding"][0]["display"] == "Our words"


def test_numbers_are_short_unlike_and_steady() -> None:
    cases = [CaseId(f"00000000-0000-4000-8000-{n:012d}") for n in range(500)]
    numbers = {authorization_number(case) for case in cases}
    numbers |= {reference_number(case, sequence) for case in cases for sequence in (1, 2)}
    assert len(numbers) == 1500
    assert {len(number) for number in numbers} == {12}
    assert not set("ILOU") & set("".join(number[2:] for number in numbers))
    assert authorization_number(cases[0]) == authorization_number(cases[0])
