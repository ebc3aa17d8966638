"""The form's two times: `python -m benchmarks.form [TIMES]`. Prints milliseconds; needs Chromium for the first.

A form is usable when every question is drawn and the buttons work; it may take 1500 ms from the callback. The chart's
logic over 1,200 records may take 250 ms.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from service.app.parts import build_rules
from service.catalog.registry import HOME
from service.demo.stories import Setting, find_story, load_chart, load_stories
from service.dtr.populate import Chart, ChartLogic, populate
from service.engine.prepare import prepare
from service.settings import Settings
from tests.browser.conftest import ARGUMENTS
from tests.e2e.server import serving

_PATIENT = "approves-at-once"
_RECORDS = 1200
_FORM = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial"


def large_chart(settings: Settings, now: datetime) -> list[dict[str, Any]]:
    """A demo patient's chart with as many copies of its clinical records, of other codes, as make it large."""
    records = list(load_chart(find_story(load_stories(), _PATIENT), Setting(now.date(), "DEMO-1", settings)))
    copied = [
        each for each in records if each["resourceType"] in ("Condition", "Observation", "MedicationAdministration")
    ]
    number = 0
    while len(records) < _RECORDS:
        record = json.loads(json.dumps(copied[number % len(copied)]))
        record["id"] = f"copy-{number}"
        concept = record.get("code") or record["medicationCodeableConcept"]
        concept["coding"] = [{"system": "https://ehr.example.org/codes", "code": f"other-{number}"}]
        concept["text"] = f"Other {number}"
        records.append(record)
        number += 1
    return records


async def prefill(times: int) -> list[float]:
    """Milliseconds of each prepopulation of the large chart, from records to answers."""
    settings, now = Settings(demo=True), datetime.now(UTC)
    rules = build_rules(settings, trusts_coverage=True, roots=[HOME])
    found = rules.registry.questionnaire(_FORM)
    assert found is not None
    loaded, questionnaire = found[0], found[1]
    chart = Chart(tuple(large_chart(settings, now)), _PATIENT)
    await rules.engine.warm(loaded.logic)
    spent = []
    for _ in range(times + 2):
        before = time.perf_counter()
        logic = ChartLogic(rules.engine, prepare)
        filled = await populate(loaded, questionnaire, chart, logic=logic, origin="auto-client", now=now)
        spent.append((time.perf_counter() - before) * 1000)
        assert filled.items
    rules.engine.close()
    return spent[2:]


def usable(browser: Browser, address: str) -> float:
    """Milliseconds from the callback's request to the form that can be used, in a browser with an empty cache."""
    context = browser.new_context()
    page = context.new_page()
    begun: list[float] = []
    page.on("request", lambda request: begun.append(time.perf_counter()) if "/dtr/callback" in request.url else None)
    context.request.post(f"{address}/demo/{_PATIENT}/start-over", form={"guides": "2.2.1"})
    page.goto(f"{address}/demo/{_PATIENT}")
    page.get_by_role("button", name="Sign").click()
    page.goto(f"{address}/demo/{_PATIENT}/answer")
    page.select_option("#user", "oncologist")
    page.get_by_role("button", name="Open in the payer's DTR app").click()
    page.wait_for_selector("html[data-ready]", timeout=20_000)
    spent = (time.perf_counter() - begun[0]) * 1000
    context.close()
    return spent


def opening(times: int) -> list[float]:
    """Milliseconds of each opening, the first of them left out."""
    with TemporaryDirectory() as data, serving(Path(data)) as served, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        spent = [usable(browser, str(served.http.base_url)) for _ in range(times + 1)]
        browser.close()
    return spent[1:]


def main() -> None:
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    logic = asyncio.run(prefill(times))
    sys.stdout.write(
        f"prefill of {_RECORDS} records, {times} times: median {median(logic):.0f} ms, worst {max(logic):.0f}\n"
    )
    shown = opening(times)
    sys.stdout.write(
        f"form usable after the callback, {times} times: median {median(shown):.0f} ms, worst {max(shown):.0f}\n"
    )


if __name__ == "__main__":
    main()
