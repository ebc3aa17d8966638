"""The report: shares, times, denials by criterion; on the page and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from service.policy.case import CaseId, Urgency
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.review.conftest import Console, send, words

HOUR = timedelta(hours=1)


async def rows(browser: httpx.AsyncClient, query: str = "") -> dict[tuple[str, str], tuple[str, str, str]]:
    answer = await browser.get(f"/review/report.csv{query}")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment")
    read = csv.DictReader(io.StringIO(answer.text))
    return {(row["section"], row["figure"]): (row["count"], row["of"], row["value"]) for row in read}


@pytest.fixture
async def decided(console: Console) -> Console:
    """One approved by rules at once; after 10 h one approved, after 20 h one denied; one expedited, one open."""
    await console.add_case(b.bundle())
    first, second = await console.add_case(), await console.add_case(due=console.clock.now() + 15 * HOUR)
    await console.add_case(urgency=Urgency.EXPEDITED)
    replaced = await console.add_case()
    await console.store.save(CaseChange(replace(replaced, replaced_by=CaseId("newer")), 1, {"kind": "replaced"}))
    console.clock.advance(10 * HOUR)
    async with console.browser("cora") as browser:
        await send(browser, first.id, "decide", verdict_1="approve")
    console.clock.advance(10 * HOUR)
    async with console.browser("cora") as browser:
        await send(browser, second.id, "decide", verdict_1="deny", reason_1="criterion:es-sclc")
    return console


async def test_shares_and_times_are_of_what_was_decided(decided: Console) -> None:
    async with decided.browser("ada") as browser:
        figures = await rows(browser)
    standard = {name: value for (section, name), value in figures.items() if section == "Standard requests"}
    assert standard["Approved"] == ("2", "3", "66.7 %")
    assert standard["Denied"] == ("1", "3", "33.3 %")
    assert standard["Approved after appeal"] == ("", "", "not recorded")
    assert standard["Time from receipt to decision, mean"] == ("", "", "10.00 h")
    assert standard["Time from receipt to decision, median"] == ("", "", "10.00 h")
    assert standard["Decided after the deadline"] == ("1", "3", "33.3 %")
    assert standard["Waiting for a decision"] == ("0", "3", "")
    assert figures["Expedited requests", "Waiting for a decision"] == ("1", "1", "")
    assert figures["Expedited requests", "Approved"] == ("0", "0", "")
    assert figures["All requests", "Received"] == ("4", "", "")
    assert figures["All requests", "Waiting for a reviewer, or decided by one"] == ("3", "4", "75.0 %")
    assert figures["All requests", "Cancelled, or not to be processed"] == ("0", "4", "0.0 %")
    assert figures["All requests", "Decided by rules alone"] == ("1", "3", "33.3 %")
    assert figures["Denied lines by criterion", "Criterion es-sclc"] == ("1", "1", "100.0 %")


async def test_only_requests_of_the_range_count(decided: Console) -> None:
    async with decided.browser("ada") as browser:
        assert (await rows(browser, "?from=2026-09-01&to=2026-09-01"))["All requests", "Received"][0] == "4"
        assert (await rows(browser, "?from=2026-09-02&to=2026-09-03"))["All requests", "Received"][0] == "0"
        assert (await rows(browser, "?from=2026-08-01&to=2026-08-31"))["All requests", "Received"][0] == "0"


async def test_what_requires_authorization_is_listed_while_a_policy_of_it_is_in_force(decided: Console) -> None:
    """The first part of the public report: which items and services it is about."""
    section = "Items and services that require prior authorization"
    async with decided.browser("ada") as browser:
        now, before = await rows(browser), await rows(browser, "?from=2025-01-01&to=2025-12-31")
    assert {name: row[2] for (of, name), row in now.items() if of == section} == {
        "Imdelltra (tarlatamab-dlle)": "J9026",
        "Zelvora (zelvorimab)": "X0001",
    }
    assert {name: row[0] for (of, name), row in before.items() if of == section} == {"None": "0"}


async def test_the_page_says_what_the_figures_are_and_are_not(decided: Console) -> None:
    async with decided.browser("ada") as browser:
        page = words((await browser.get("/review/report?from=2026-09-01&to=2026-09-30")).text)
    assert "Internal figures, in the layout of the public report of CMS-0057-F" in page
    assert "excludes drugs" in page
    assert "Approved 2 3 66.7 %" in page


@pytest.mark.parametrize(
    "query",
    [
        "?from=2026-09-02&to=2026-09-01",
        "?from=x",
        "?to=2026-13-01",
        "?to=9999-12-31",
        "?to=0001-01-01",
        "?from=0001-01-02",
    ],
)
async def test_a_range_that_is_none_is_refused(console: Console, query: str) -> None:
    async with console.browser("ada") as browser:
        assert (await browser.get(f"/review/report{query}")).status_code == 400
        assert (await browser.get(f"/review/report.csv{query}")).status_code == 400
