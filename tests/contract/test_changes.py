"""Cases that change: revisions, chains, names, events and attachments, on every adapter."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.errors import Conflict
from service.policy.case import Case, CaseId, ClientId, InfoRequest
from service.ports import CASE_CHANGED, CASE_DECIDED, Attachment, CaseChange, Event
from service.store.memory import MemoryStore
from service.store.tables import events
from tests.contract.cases import EHR, MEMBER, NOW, acceptance, approved_line, case, pended_line
from tests.contract.conftest import AnyStore

STARTS = date(2026, 12, 4)
ASKED = InfoRequest("ACN-1", 1, "Pathology", (), "11526-1", NOW, NOW + timedelta(days=3))


def change(of: Case, **changes: Any) -> CaseChange:
    return CaseChange(replace(of, **changes), of.revision, {"kind": "changed"})


async def test_a_change_counts_the_revision_and_leaves_a_trail(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    saved = await store.save(change(case(1), held_by="ann"))
    assert (saved.revision, saved.held_by) == (2, "ann")
    found = await store.case(saved.id)
    assert found is not None
    assert found[0] == saved
    assert [entry.sequence for entry in await store.audit(saved.id)] == [1, 2]
    assert await store.verify_audit(saved.id)


async def test_a_change_of_what_somebody_else_changed_is_refused_whole(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    await store.save(change(case(1), held_by="ann"))
    with pytest.raises(Conflict):
        await store.save(replace(change(case(1), held_by="bob"), request=b"{}"))
    with pytest.raises(Conflict):
        await store.save(change(case(2)))
    found = await store.case(case(1).id)
    assert found is not None
    assert found[0].held_by == "ann"
    assert len(await store.audit(case(1).id)) == 2
    assert len(await store.requests(case(1).id)) == 1


async def test_of_changes_at_once_one_wins(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    tries = (store.save(change(case(1), held_by=str(number))) for number in range(6))
    ended = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(one, Conflict) for one in ended) == 5
    assert await store.verify_audit(case(1).id)


async def test_a_decision_changes_what_is_authorized_and_open(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    assert [found.id for found in await store.open_cases()] == [case(1).id]
    approved = await store.save(change(case(1), lines=(approved_line(STARTS, "A-1"),)))
    assert await store.open_cases() == []
    assert [found.number for found in await store.authorizations(MEMBER, "policy-1")] == ["A-1"]
    await store.save(change(approved, lines=(pended_line(),)))
    assert await store.authorizations(MEMBER, "policy-1") == []


async def test_open_cases_come_by_deadline(store: AnyStore) -> None:
    dues = {1: NOW + timedelta(hours=9), 2: None, 3: NOW + timedelta(hours=1)}
    for number, due in dues.items():
        await store.accept(acceptance(case(number, due=due), f"sha256:{number}"))
    await store.accept(acceptance(case(4, approved_line(STARTS, "A-1")), "sha256:4"))
    await store.accept(acceptance(case(5, replaced_by=CaseId("next")), "sha256:5"))
    assert [int(found.id[-1]) for found in await store.open_cases()] == [3, 1, 2]


async def test_a_successor_and_the_change_of_its_predecessor_are_one(store: AnyStore) -> None:
    first = case(1, approved_line(STARTS, "A-1"))
    await store.accept(acceptance(first))
    previous = first.authorizations()[0]
    second = case(2, replace(pended_line(), previous=previous), replaces=first.id)
    taken_over = change(first, replaced_by=second.id)
    await store.accept(acceptance(second, "sha256:2", replaced=taken_over))
    assert await store.authorizations(MEMBER, "policy-1") == [previous]
    third = case(3, replaces=first.id)
    with pytest.raises(Conflict):
        await store.accept(acceptance(third, "sha256:3", replaced=change(first, replaced_by=third.id)))
    assert await store.case(third.id) is None
    assert await store.reply_to(EHR, "sha256:3") is None
    # The same submission again gets its answer, though its predecessor has changed.
    again = acceptance(case(4), "sha256:2", replaced=taken_over)
    assert (await store.accept(again)).case_id == second.id


async def test_numbers_lead_to_the_current_version(store: AnyStore) -> None:
    first = case(1, approved_line(STARTS, "A-1"), asked=(ASKED,))
    second = case(2, pended_line(), replaces=first.id)
    await store.accept(acceptance(first))
    for number in ("A-1", "R-A-1", "ACN-1"):
        assert await store.case_by_number(number) == first
    await store.accept(acceptance(second, "sha256:2", replaced=change(first, replaced_by=second.id)))
    for number in ("A-1", "R-A-1", "R-0", "ACN-1"):
        assert await store.case_by_number(number) == second
    assert await store.case_by_number("A-2") is None
    changed = await store.save(change(second, asked=(replace(ASKED, control_number="ACN-2"),)))
    assert await store.case_by_number("ACN-2") == changed


async def test_a_line_is_found_by_its_client_s_trace_number(store: AnyStore) -> None:
    def traced(number: int, trace: str, **rest: Any) -> Case:
        return case(number, replace(pended_line(), trace=trace), **rest)

    older, newer = traced(1, "LINE-1"), traced(2, "LINE-1")
    foreign, other = traced(3, "LINE-1", client=ClientId("ehr-2")), traced(4, "LINE-2")
    for number, one in enumerate((older, newer, foreign, other)):
        await store.accept(acceptance(one, f"sha256:{number}"))
    assert await store.case_by_trace(EHR, "LINE-1") == newer
    assert await store.case_by_trace(ClientId("ehr-2"), "LINE-1") == foreign
    assert await store.case_by_trace(EHR, "LINE-2") == other
    assert await store.case_by_trace(EHR, "LINE-3") is None
    assert await store.case_by_number("LINE-1") is None
    changed = traced(5, "LINE-5", replaces=newer.id)
    await store.accept(acceptance(changed, "sha256:5", replaced=change(newer, replaced_by=changed.id)))
    assert await store.case_by_trace(EHR, "LINE-1") == changed


async def test_a_claim_is_the_newest_of_its_client(store: AnyStore) -> None:
    url = "urn:uuid:1"
    older = case(1, claim_url=url)
    newer = case(2, claim_url=url, claim_identifiers=("urn:x|2",))
    foreign = case(3, claim_url=url, client=ClientId("ehr-2"))
    for number, one in enumerate((older, newer, foreign)):
        await store.accept(acceptance(one, f"sha256:{number}"))
    assert await store.case_for_claim(EHR, url, ()) == newer
    assert await store.case_for_claim(EHR, "urn:uuid:other", ("urn:x|1",)) == older
    assert await store.case_for_claim(EHR, url, ("urn:x|1",)) == newer
    assert await store.case_for_claim(EHR, "", ("urn:x|9",)) is None
    assert await store.case_for_claim(ClientId("ehr-3"), url, ("urn:x|1",)) is None


async def test_a_later_request_is_evaluated_and_the_first_is_kept(store: AnyStore) -> None:
    first = acceptance(case(1))
    await store.accept(first)
    saved = await store.save(replace(change(case(1)), request=b"second"))
    await store.save(replace(change(saved), request=b"third"))
    assert await store.requests(saved.id) == [first.request, b"second", b"third"]
    [(_, request)] = await store.cases_of(MEMBER)
    assert request == b"third"
    assert await store.requests(CaseId("none")) == []


async def test_events_are_kept_with_what_they_tell(store: AnyStore) -> None:
    made = Event("e-1", CASE_DECIDED, case(1).id, NOW)
    await store.accept(acceptance(case(1), events=(made,)))
    await store.save(replace(change(case(1)), events=(replace(made, id="e-2", kind=CASE_CHANGED),)))
    with pytest.raises(Conflict):
        await store.save(replace(change(case(1)), events=(replace(made, id="e-3"),)))
    assert [event.id for event in await _events(store)] == ["e-1", "e-2"]


async def test_attachments_are_kept_as_they_came(store: AnyStore) -> None:
    await store.accept(acceptance(case(1)))
    sent = [Attachment(f"a-{n}", case(1).id, "ACN-1", 1, NOW, b"\x00\xff" * n) for n in (2, 1)]
    for attachment in sent:
        await store.attach(attachment)
    assert await store.attachments(case(1).id) == sent
    assert await store.attachments(case(2).id) == []


async def _events(store: AnyStore) -> list[Event]:
    if isinstance(store, MemoryStore):
        return store.events
    with store._engine.connect() as connection:
        rows = connection.execute(sa.select(events).order_by(events.c.position)).all()
    return [Event(row.id, row.kind, CaseId(row.case_id), row.at) for row in rows]
