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
from collections.abc import Mapping, Sequence
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
# A chart grows by its observations; the other mix is the hardest on the logic, which looks most at administrations.
MIXES = {
    "mostly observations": {"Observation": 950, "Condition": 100, "MedicationAdministration": 150},
    "mostly administrations": {"Observation": 200, "Condition": 200, "MedicationAdministration": 800},
}
_FORM = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial"


def large_chart(settings: Settings, now: datetime, mix: Mapping[str, int]) -> list[dict[str, Any]]:
    """A demo patient's chart with as many copies of its records, under other codes, as the mix says by type."""
    records = list(load_chart(find_story(load_stories(), _PATIENT), Setting(now.date(), "DEMO-1", settings)))
    for kind, many in mix.items():
        copied = [record for record in records if record["resourceType"] == kind]
        for number in range(len(copied), many):
            record = json.loads(json.dumps(copied[number % len(copied)]))
            record["id"] = f"{kind}-{number}"
            concept = record.get("code") or record["medicationCodeableConcept"]
            concept["coding"] = [{"system": "https://ehr.example.org/codes", "code": f"other-{number}"}]
            concept["text"] = f"Other {number}"
            records.append(record)
    return records


async def prefill(times: int, mix: Mapping[str, int]) -> list[float]:
    """Milliseconds of each prepopulation of a large chart, from records to answers."""
    settings, now = Settings(demo=True), datetime.now(UTC)
    rules = build_rules(settings, trusts_coverage=True, roots=[HOME])
    found = rules.registry.questionnaire(_FORM)
    assert found is not None
    loaded, questionnaire = found[0], found[1]
    chart = Chart(tuple(large_chart(settings, now, mix)), _PATIENT)
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
    page.wait_for_url("**/answer")
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
    for name, mix in MIXES.items():
        _say(f"prefill of {sum(mix.values())} records, {name}", asyncio.run(prefill(times, mix)))
    _say("form usable after the callback", opening(times))


def _say(what: str, spent: Sequence[float]) -> None:
    sys.stdout.write(f"{what}: median {median(spent):.0f} ms, worst {max(spent):.0f} ms of {len(spent)}\n")


if __name__ == "__main__":
    main()
