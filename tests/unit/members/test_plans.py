"""The file of plans and waivers: what it may say, and that nothing misspelt is passed over."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from service.errors import InvalidPolicy
from service.fhir.canonical import HCPCS, NDC
from service.members.plans import load_benefits
from service.policy.case import Npi
from service.policy.dates import DatePeriod
from service.policy.enrollment import Benefits, Plan
from service.policy.membership import Waiver
from service.policy.model import DrugCode

GOOD = """
[[plan]]
id = "GOLD"
name = "Gold plan"
excluded_hcpcs = ["J0000"]
excluded_ndc = ["99999-000-01"]

[[plan]]
id = "SILVER"
name = "Silver plan"

[[waiver]]
npi = "1234567893"
policy = "zorvex"
from = 2026-01-01
to = 2026-12-31
"""


def load(tmp_path: Path, content: str) -> Benefits:
    path = tmp_path / "plans.toml"
    path.write_text(content)
    return load_benefits(path, {"zorvex"})


def test_plans_and_waivers(tmp_path: Path) -> None:
    codes = {DrugCode(HCPCS, "J0000"), DrugCode(NDC, "99999000001"), DrugCode(NDC, "9999900001")}
    assert load(tmp_path, GOOD) == Benefits(
        plans=(Plan("GOLD", "Gold plan", frozenset(codes)), Plan("SILVER", "Silver plan", frozenset())),
        waivers=(Waiver(Npi("1234567893"), "zorvex", DatePeriod(date(2026, 1, 1), date(2026, 12, 31))),),
    )


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("excluded_hcpcs", "exclude_hcpcs", "plan.0.exclude_hcpcs"),
        ("[[plan]]", "[[plans]]", "plans"),
        ('"J0000"', '"j-0000"', "plan.0.excluded_hcpcs.0"),
        ('"99999-000-01"', '"9999900001"', "plan.0.excluded_ndc.0"),
        ('id = "GOLD"', "", "plan.0.id"),
        ("1234567893", "1234567890", "waiver.0.npi"),
        ("1234567893", "123456789", "waiver.0.npi"),
        ("to = 2026-12-31", "to = 2025-12-31", "waiver.0"),
        ("to = 2026-12-31", "", "waiver.0.to"),
        ('"zorvex"', '"zorvx"', "no loaded policy"),
        ('"SILVER"', '"GOLD"', "two plans"),
        ("[[waiver]]", "[[waiver", "not TOML"),
        (
            "to = 2026-12-31\n",
            "to = 2026-12-31\n" + GOOD.partition("[[waiver]]")[2].join(["[[waiver]]", ""]),
            "two w",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, old: str, new: str, place: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidPolicy) as raised:
        load(tmp_path, GOOD.replace(old, new))
    assert raised.value.text.startswith("plans.toml: ")
    assert place in raised.value.text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_benefits(tmp_path / "none.toml", set())
