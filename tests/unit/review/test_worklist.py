"""The worklist: order, count, filters, what is overdue."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from service.policy.case import Case, CaseId, InfoRequest, Urgency
from service.ports import CaseChange
from service.review.worklist import MOST
from tests.unit.pas import bundles as b
from tests.unit.review.conftest import NOW, Console, words

HOUR = timedelta(hours=1)


def listed(page: str) -> list[str]:
    return re.findall(r'href="/review/cases/([^"]+)"', page)


async def show(browser: httpx.AsyncClient, query: str = "") -> str:
    answer = await browser.get(f"/review{query}")
    assert answer.status_code == 200
    return answer.text


@pytest.fixture
async def cases(console: Console) -> dict[str, Case]:
    """Four open cases, and one that is decided."""
    await console.add_case(b.bundle())
    visit = b.bundle({b.CLAIM: b.claim(b.item(1, code="99212"))})
    return {
        "late": await console.add_case(due=NOW - HOUR),
        "soon": await console.add_case(due=NOW + HOUR, urgency=Urgency.EXPEDITED, held_by="rita"),
        "visit": await console.add_case(visit, due=NOW + 2 * HOUR),
        "rob": await console.add_case(due=NOW + 3 * HOUR, held_by="rob"),
    }


async def test_the_next_deadline_comes_first_and_late_is_loud(console: Console, cases: dict[str, Case]) -> None:
    async with console.browser("rita") as browser:
        page = await show(browser)
    assert listed(page) == [cases[name].id for name in ("late", "soon", "visit", "rob")]
    assert '<strong id="count">4</strong>' in page
    assert "1 overdue." in page
    assert "overdue by 1 h 0 min" in page
    assert page.count("late-card") == page.count(">Overdue</span>") == 1
    assert "rob has it" in page


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?urgency=expedited", ["soon"]),
        ("?urgency=standard", ["late", "visit", "rob"]),
        ("?overdue=yes", ["late"]),
        ("?holder=mine", ["soon"]),
        ("?holder=nobody", ["late", "visit"]),
        ("?policy=imdelltra", ["late", "soon", "rob"]),
        ("?policy=none", ["visit"]),
        ("?policy=imdelltra&holder=nobody&urgency=standard", ["late"]),
        ("?urgency=nonsense&holder=%00", ["late", "soon", "visit", "rob"]),
        ("?policy=nonsense", []),
    ],
)
async def test_filters_narrow_it(console: Console, cases: dict[str, Case], query: str, names: list[str]) -> None:
    async with console.browser("rita") as browser:
        page = await show(browser, query)
    assert listed(page) == [cases[name].id for name in names]
    assert f'<strong id="count">{len(names)}</strong>' in page
    assert ("Nothing waits under these filters" in page) is (not names)


async def test_it_says_whether_information_was_asked_for_and_has_come(console: Console) -> None:
    case = await console.add_case()
    asked = InfoRequest("AC-1", 1, "The report.", (), "11526-1", NOW, NOW + HOUR)
    changed = await console.store.save(CaseChange(replace(case, asked=(asked,)), 1, {"kind": "review"}))
    async with console.browser("rita") as browser:
        assert "Information asked for" in await show(browser)
        answered = replace(changed, asked=(replace(asked, answered_at=NOW),))
        await console.store.save(CaseChange(answered, 2, {"kind": "attachment"}))
        page = await show(browser)
    assert "Information has arrived" in page
    assert "Information asked for" not in page


async def test_no_page_is_endless(console: Console) -> None:
    case = await console.add_case()
    for number in range(MOST + 1):
        other = replace(case, id=CaseId(f"case-{number}"))
        console.store._cases[other.id] = other
    async with console.browser("rita") as browser:
        page = await show(browser)
    assert len(listed(page)) == MOST
    assert f"The first {MOST} are shown" in words(page)
    assert f'<strong id="count">{MOST + 2}</strong>' in page
