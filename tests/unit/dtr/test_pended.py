"""Which line of a case a context names, and that it is nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from service.dtr.pended import waiting_line
from service.policy.case import CaseLine, ClientId, InfoRequest
from service.store.memory import MemoryStore
from tests.contract.cases import EHR, NOW, acceptance, approved_line, case, pended_line

ASKED = InfoRequest("ACN-1", 1, "The questionnaire", (), None, NOW, NOW + timedelta(days=3))


async def stored(*lines: CaseLine, **changes: Any) -> MemoryStore:
    store = MemoryStore()
    await store.accept(acceptance(case(1, *lines, **changes)))
    return store


@pytest.mark.parametrize("context", ["ACN-1", "LINE-1"])
async def test_a_waiting_line_is_named_by_its_control_or_trace_number(context: str) -> None:
    line = replace(pended_line(), trace="LINE-1")
    store = await stored(line, asked=(ASKED,))
    assert await waiting_line(context, EHR, store) == line


@pytest.mark.requirement("spec-130")
@pytest.mark.parametrize("context", ["ACN-1", "LINE-1"])
async def test_another_client_s_line_is_not_named(context: str) -> None:
    store = await stored(replace(pended_line(), trace="LINE-1"), asked=(ASKED,))
    assert await waiting_line(context, ClientId("another"), store) is None


async def test_another_client_s_number_does_not_hide_one_s_own() -> None:
    """Trace numbers are the sender's own words: one may look like a number that we gave to somebody else."""
    store = await stored(asked=(ASKED,))
    own = replace(pended_line(), trace="ACN-1")
    await store.accept(acceptance(case(2, own, client=ClientId("another")), "sha256:2"))
    assert await waiting_line("ACN-1", ClientId("another"), store) == own


@pytest.mark.parametrize("context", ["ACN-1", "LINE-1"])
async def test_a_line_that_is_decided_waits_for_no_form(context: str) -> None:
    store = await stored(replace(approved_line(date(2026, 12, 4), "A-1"), trace="LINE-1"), asked=(ASKED,))
    assert await waiting_line(context, EHR, store) is None


@pytest.mark.parametrize("context", ["R-0", "urn:x|1", "LINE-1", ""])
async def test_other_numbers_name_no_line(context: str) -> None:
    assert await waiting_line(context, EHR, await stored(asked=(ASKED,))) is None
