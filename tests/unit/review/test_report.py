"""The report: shares, times, denials by criterion; on the page and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from service.pas.decide import APPEAL
from service.policy.case import Case, CaseId, CaseLine, Urgency
from service.policy.decision import RULES, Administrative, Clinician, Decision, Outcome
from service.policy.determination import LineDetermination
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.review.conftest import Console, send, words

HOUR = timedelta(hours=1)
CLINICIAN = Clinician("Cora Clinician", "1003000126", "207RH0003X")


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
    assert standard["Approved after appeal, as asked or in part"] == ("0", "3", "0.0 %")
    assert standard["Appeals decided"] == ("0", "0", "")
    assert standard["Approved after the timeframe was extended"] == ("", "", "not recorded")
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


def with_lines(case: Case, *lines: LineDetermination) -> Case:
    """The case with a line for each of these."""
    first = case.lines[0]
    made = [CaseLine(line, first.authorization_number if line.period else None, "RF0") for line in lines]
    return replace(case, lines=tuple(made))


async def test_an_appeal_is_no_request_and_its_approval_stands_beside_them(decided: Console) -> None:
    """42 CFR 422.122(c)(1): shares of requests, and how many were approved after appeal."""
    for verdict in ("approve", "deny", None):
        filed = await decided.add_case()
        line = filed.lines[0].determination
        appeal = with_lines(filed, replace(line, obstacles=(*line.obstacles, APPEAL)))
        await decided.store.save(CaseChange(appeal, filed.revision, {"kind": "test"}))
        if verdict:
            async with decided.browser("cora") as browser:
                await send(browser, filed.id, "decide", verdict_1=verdict, reason_1="criterion:es-sclc")
    async with decided.browser("ada") as browser:
        figures = await rows(browser)
    standard = {name: value for (section, name), value in figures.items() if section == "Standard requests"}
    assert standard["Approved after appeal, as asked or in part"] == ("1", "3", "33.3 %")
    assert standard["Appeals decided"] == ("2", "3", "")
    assert (standard["Approved"][:2], standard["Denied"][:2]) == (("2", "3"), ("1", "3"))
    assert standard["Time from receipt to decision, mean"] == ("", "", "10.00 h")
    assert figures["All requests", "Received"] == ("4", "", "")
    assert figures["Denied lines by criterion", "Criterion es-sclc"] == ("2", "2", "100.0 %")


async def test_the_clock_of_a_change_is_that_of_the_request_that_still_waited(console: Console) -> None:
    waiting = await console.add_case()
    console.clock.advance(30 * HOUR)
    newer = await console.add_case(replaces=waiting.id)
    await console.store.save(CaseChange(replace(waiting, replaced_by=newer.id), 1, {"kind": "replaced"}))
    console.clock.advance(10 * HOUR)
    async with console.browser("cora") as browser:
        await send(browser, newer.id, "decide", verdict_1="approve")
    console.clock.advance(100 * HOUR)
    # What changes an approved request is asked anew.
    await console.add_case(b.bundle(), replaces=newer.id)
    async with console.browser("ada") as browser:
        figures = await rows(browser)
    assert figures["Standard requests", "Approved"][:2] == ("2", "2")
    assert figures["Standard requests", "Time from receipt to decision, mean"][2] == "20.00 h"


async def test_what_the_provider_withdrew_is_no_part_of_a_decision(console: Console) -> None:
    filed = await console.add_case(b.bundle())
    line = filed.lines[0].determination
    withdrawn = replace(line, sequence=2, decision=Decision(Outcome.CANCELLED, RULES, ()), period=None)
    await console.store.save(CaseChange(with_lines(filed, line, withdrawn), filed.revision, {"kind": "test"}))
    async with console.browser("ada") as browser:
        figures = await rows(browser)
    assert figures["Standard requests", "Approved"][:2] == ("1", "1")


async def test_a_denial_by_the_plans_terms_names_the_term_and_one_carried_along_counts_once(decided: Console) -> None:
    filed = await decided.add_case()
    line = filed.lines[0].determination
    by_terms = replace(line, decision=Decision(Outcome.DENIED, Administrative("plan-excludes"), ("Excluded.",)))
    by_hand = replace(line, sequence=2, decision=Decision(Outcome.DENIED, CLINICIAN, ("Before.",)))
    await decided.store.save(CaseChange(with_lines(filed, by_terms, by_hand), filed.revision, {"kind": "test"}))
    async with decided.browser("ada") as browser:
        figures = await rows(browser)
    denied = {name: row[:2] for (section, name), row in figures.items() if section == "Denied lines by criterion"}
    assert denied == {"Criterion es-sclc": ("1", "2"), "The plan's terms (plan-excludes)": ("1", "2")}


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
