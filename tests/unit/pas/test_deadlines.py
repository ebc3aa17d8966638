"""Hours of a line of business beside those of the settings: whose they are, and that a bad file stops the start."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.app.compose import create_app
from service.errors import InvalidPolicy
from service.pas.deadlines import load_deadlines
from service.settings import Settings
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import NOW, PAS, Payer

Json = dict[str, Any]
BUSINESS = "https://payer.example.org/line-of-business"
CLASSES = "http://terminology.hl7.org/CodeSystem/coverage-class"
TABLE = f"""
[[line_of_business]]
name = "Medicare Advantage"
coverage_types = ["{BUSINESS}|MA"]
coverage_classes = ["plan|MA PPO 01"]
drug = {{ standard = 48, expedited = 12 }}
other = {{ standard = 100, expedited = 50 }}

[[line_of_business]]
name = "Marketplace"
coverage_types = ["{BUSINESS}|QHP"]
drug = {{ standard = 60 }}
"""
UNMET = b.response({**b.ANSWERS, "es-sclc": False})
URGENT = {
    "extension": [
        {
            "url": PAS + "levelOfServiceCode",
            "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/1338", "U"),
        }
    ]
}


def kind(code: str, system: str = BUSINESS) -> Json:
    return {"type": b.coded(system, code)}


def plan(value: str, of: str = "plan") -> Json:
    return {"class": [{"type": b.coded(CLASSES, of), "value": value}]}


def written(folder: Path, text: str) -> Path:
    path = folder / "due.toml"
    path.write_text(text)
    return path


async def hours(payer: Payer, coverage: Json, *, drug: bool = True, urgent: bool = False) -> float:
    """From receipt to the deadline of a request that pends."""
    item = b.item() if drug else b.item(code="99212")
    if not drug:
        item["extension"] = item["extension"][:3]
    claim = b.claim(item, **(URGENT if urgent else {}))
    await payer.submit(b.bundle({b.CLAIM: claim, b.RESPONSE: UNMET, b.COVERAGE: b.coverage(**coverage)}))
    (case,) = await payer.cases()
    assert case.due is not None
    return (case.due - NOW) / timedelta(hours=1)


@pytest.fixture
def keen(payer: Payer, tmp_path: Path) -> Payer:
    """The payer, with the table above."""
    payer.dependencies = replace(payer.dependencies, deadlines=load_deadlines(written(tmp_path, TABLE)))
    return payer


@pytest.mark.parametrize(
    ("coverage", "drug", "urgent", "due"),
    [
        (kind("MA"), True, False, 48),
        (kind("MA"), True, True, 12),
        (kind("MA"), False, False, 100),
        (kind("MA"), False, True, 50),
        (plan("MA PPO 01"), True, False, 48),
        (plan(" MA PPO 01 "), True, False, 48),
        (kind("QHP"), True, False, 60),
    ],
)
async def test_a_line_of_business_has_its_own_hours(
    keen: Payer, coverage: Json, drug: bool, urgent: bool, due: int
) -> None:
    assert await hours(keen, coverage, drug=drug, urgent=urgent) == due


@pytest.mark.parametrize(
    ("coverage", "drug", "urgent", "due"),
    [
        ({}, True, False, 72),
        ({}, True, True, 24),
        (kind("OTHER"), False, False, 168),
        (kind("MA", "urn:other"), True, False, 72),
        (plan("MA PPO 01", "group"), True, False, 72),
        (plan("MA PPO 02"), True, False, 72),
    ],
)
async def test_an_unknown_line_of_business_has_the_hours_of_all(
    keen: Payer, coverage: Json, drug: bool, urgent: bool, due: int
) -> None:
    assert await hours(keen, coverage, drug=drug, urgent=urgent) == due


@pytest.mark.parametrize(("drug", "urgent", "due"), [(True, True, 24), (False, False, 168), (False, True, 72)])
async def test_what_a_line_of_business_leaves_out_is_as_for_all(
    keen: Payer, drug: bool, urgent: bool, due: int
) -> None:
    assert await hours(keen, kind("QHP"), drug=drug, urgent=urgent) == due


async def test_the_first_entry_that_fits_counts(keen: Payer) -> None:
    assert await hours(keen, kind("QHP") | plan("MA PPO 01")) == 48


def test_without_a_file_there_are_the_settings_alone() -> None:
    assert load_deadlines(None).lines_of_business == ()


@pytest.mark.parametrize(
    "text",
    [
        "[[line_of_business",
        '[[line_of_business]]\nname = "MA"\n',
        '[[line_of_business]]\ncoverage_types = ["urn:x|MA"]\n',
        '[[line_of_business]]\nname = "MA"\ncoverage_types = ["MA"]\n',
        '[[line_of_business]]\nname = "MA"\ncoverage_classes = ["plan|"]\n',
        '[[line_of_business]]\nname = "MA"\ncoverage_types = ["urn:x|MA"]\ndrug = { standard = 0 }\n',
        '[[line_of_business]]\nname = "MA"\ncoverage_types = ["urn:x|MA"]\ndrug = { standard = "72" }\n',
        '[[line_of_business]]\nname = "MA"\ncoverage_types = ["urn:x|MA"]\ndrug = { urgent = 24 }\n',
        '[[line_of_busines]]\nname = "MA"\n',
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidPolicy, match=r"due\.toml"):
        load_deadlines(written(tmp_path, text))


def test_the_setting_is_read_at_start(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match=r"lost\.toml"):
        create_app(Settings(due_hours=tmp_path / "lost.toml"), tmp_path)
