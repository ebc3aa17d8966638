"""The form's two times, measured and printed with every run; how long is too long is the benchmark's to judge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Browser

from benchmarks.form import MIXES, prefill, usable


def test_the_form_is_drawn_after_the_callback(
    chromium: Browser, address: str, record_property: Callable[[str, object], None]
) -> None:
    spent = usable(chromium, address)
    assert spent > 0
    record_property("speed", ("form usable after the callback", spent, 1500))


@pytest.mark.parametrize("mix", MIXES)
def test_a_chart_of_1200_records_fills_the_form(mix: str, record_property: Callable[[str, object], None]) -> None:
    with ThreadPoolExecutor(1) as aside:
        # The browser's driver has a loop in this thread.
        spent = aside.submit(asyncio.run, prefill(1, MIXES[mix])).result()
    record_property("speed", (f"1,200 records, {mix}", spent[0], 250))
