"""Which request an update changes, races between updates, and what old numbers lead to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from service.errors import Conflict, MissingElement, NotFound
from service.pas.inquire import Inquire
from service.pas.routes import SHAPES
from service.policy.case import Case, ClientId, MemberId
from service.policy.decision import Outcome
from service.ports import Acceptance, Caller, CaseChange, StoredReply
from service.store.memory import MemoryStore
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import (
    CODES,
    UNMET,
    Json,
    cancelled,
    case_of,
    claim_url,
    codes,
    first,
    info,
    update,
    whole_cancel,
)
from tests.unit.pas.payer import CLINIC, PAS, Payer, response_of


@pytest.mark.parametrize("relationship", ["prior", "replaces", None])
@pytest.mark.parametrize("named", ["full url", "relative", "identifier", "our claim", "our response", "our number"])
@pytest.mark.requirement("spec-65")
async def test_the_request_that_is_changed_is_found_by_any_of_its_names(
    payer: Payer, named: str, relationship: str | None
) -> None:
    old = response_of(await payer.submit(first(b.item())))
    references: dict[str, Json] = {
        "full url": {"claim": b.refer(b.CLAIM)},
        "relative": {"claim": b.refer(f"Claim/{old['id']}")},
        "identifier": {"claim": {"identifier": {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}}},
        "our claim": {"claim": b.refer(f"https://payer.example.org/fhir/Claim/{old['id']}")},
        "our response": {"claim": b.refer(f"https://payer.example.org/2.0.1/fhir/ClaimResponse/{old['id']}")},
        "our number": {"reference": {"value": old["preAuthRef"]}},
    }
    related = references[named] | ({"relationship": b.coded(CODES, relationship)} if relationship else {})
    bundle = b.bundle({b.CLAIM: b.claim(cancelled(b.item()), related=[related])})
    bundle["entry"][0]["fullUrl"] = claim_url(2)
    assert codes(response_of(await payer.submit(bundle, "2.0.1"))) == {1: "C"}
    assert (await case_of(payer, old)).replaced_by is not None


async def test_of_several_with_one_name_the_newest_is_meant(payer: Payer) -> None:
    oldest = response_of(await payer.submit(first(b.item())))
    newest = response_of(await payer.submit(first(b.item(quantity={"value": 5, "unit": "unit"}))))
    await payer.submit(update(cancelled(b.item())))
    assert (await case_of(payer, oldest)).replaced_by is None
    assert (await case_of(payer, newest)).replaced_by is not None


async def test_an_update_of_an_old_version_changes_the_current_one(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    second = response_of(await payer.submit(update(b.item(), info(b.item(2), "added"))))
    late = update(cancelled(b.item()), number=3, prior=1)
    response = response_of(await payer.submit(late))
    assert codes(response) == {1: "C", 2: "A1"}
    assert (await case_of(payer, second)).replaced_by == response["id"]


async def test_another_clients_case_is_not_changed(payer: Payer) -> None:
    theirs = response_of(await payer.submit(first(b.item()), client="other"))
    for reference in (b.CLAIM, f"ClaimResponse/{theirs['id']}"):
        bundle = update(b.item(), related=[{"claim": b.refer(reference)}])
        response = response_of(await payer.submit(bundle))
        assert codes(response) == {1: "A1"}
        assert "not on file here under your name" in " ".join(note["text"] for note in response["processNote"])
    bundle = update(cancelled(b.item()))
    assert codes(response_of(await payer.submit(bundle))) == {1: "A4"}
    assert (await case_of(payer, theirs)).replaced_by is None


async def test_nothing_on_file_cannot_be_cancelled_without_items(payer: Payer) -> None:
    bundle = update(b.item(), extension=[whole_cancel()])
    del bundle["entry"][0]["resource"]["item"]
    with pytest.raises(MissingElement):
        await payer.submit(bundle)


async def test_another_members_case_is_not_changed_and_nothing_is_approved(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item())))
    patient, coverage = b.patient(), b.coverage(subscriberId="M000999")
    for resource in (patient, coverage):
        resource["identifier"][0]["value"] = "M000999"
    response = response_of(await payer.submit(update(b.item(), changed={b.PATIENT: patient, b.COVERAGE: coverage})))
    assert codes(response) == {1: "A4"}
    assert (await case_of(payer, old)).replaced_by is None


async def test_a_repeated_update_gets_its_first_answer(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    body = update(cancelled(b.item()))
    assert await payer.submit(body) == await payer.submit(body)
    assert len(await payer.cases()) == 2


class Racing(MemoryStore):
    """Somebody else changes the same case while an update of it is being decided."""

    def __init__(self, other: Any, times: int) -> None:
        super().__init__()
        self.other, self.times = other, times

    async def accept(self, acceptance: Acceptance) -> StoredReply:
        if acceptance.replaced is not None and self.times > 0:
            self.times -= 1
            await self.other(acceptance.replaced.case)
        return await super().accept(acceptance)


async def racing(payer: Payer, times: int) -> Racing:
    async def touch(case: Case) -> None:
        await store.save(CaseChange(replace(case, replaced_by=None, held_by="ann"), case.revision, {"kind": "held"}))

    store = Racing(touch, times)
    payer.store = store
    payer.dependencies = replace(payer.dependencies, store=store)
    return store


async def test_an_update_that_loses_a_race_is_decided_again(payer: Payer) -> None:
    store = await racing(payer, 2)
    old = response_of(await payer.submit(first(b.item())))
    new = response_of(await payer.submit(update(cancelled(b.item()))))
    assert codes(new) == {1: "C"}
    before = await case_of(payer, old)
    assert (before.held_by, before.replaced_by, before.revision) == ("ann", new["id"], 4)
    assert len(await store.cases_of(MemberId("M000123"))) == 2


async def test_an_update_that_never_wins_is_a_conflict_and_leaves_nothing(payer: Payer) -> None:
    await racing(payer, 99)
    await payer.submit(first(b.item()))
    with pytest.raises(Conflict):
        await payer.submit(update(cancelled(b.item())))
    assert len(await payer.cases()) == 1


async def test_two_updates_at_once_both_count(payer: Payer) -> None:
    await payer.submit(first(b.item(1), b.item(2)))
    one = update(cancelled(b.item(1)), b.item(2))
    two = update(b.item(1), cancelled(b.item(2)), number=3, prior=1)
    await asyncio.gather(payer.submit(one), payer.submit(two))
    cases = await payer.cases()
    (last,) = [case for case in cases if case.replaced_by is None]
    assert len(cases) == 3
    # The second says of line 1 what it was before: a line that was cancelled is asked for anew, and decided anew.
    assert Outcome.CANCELLED in {line.determination.outcome for line in last.lines}


@pytest.mark.requirement("spec-47", "spec-48")
async def test_old_numbers_and_addresses_lead_to_the_current_version(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item())))
    new = response_of(await payer.submit(update(info(b.item(quantity={"value": 5, "unit": "unit"}), "changed"))))
    question = b.claim(identifier=[{"system": "urn:trnorg:1245319599", "value": "INQ-1"}])
    question["extension"] = [{"url": PAS + "authorizationNumber", "valueString": old["preAuthRef"]}]
    del question["item"]
    answer = await payer.inquire(b.bundle({b.CLAIM: question}))
    (hit,) = answer["parameter"]
    assert response_of(hit["resource"])["id"] == new["id"]
    everything = {name: value for name, value in question.items() if name != "extension"}
    answer = await payer.inquire(b.bundle({b.CLAIM: everything}))
    assert [response_of(one["resource"])["id"] for one in answer["parameter"]] == [new["id"]]
    by_trace = b.bundle({b.CLAIM: {**everything, "identifier": b.claim()["identifier"]}})
    assert response_of(await payer.inquire(by_trace, "2.0.1"))["id"] == new["id"]
    read = Inquire(payer.dependencies, SHAPES["2.2.1"]).read
    assert (await read(old["id"], Caller(CLINIC, frozenset())))["id"] == new["id"]
    with pytest.raises(NotFound):
        await read(old["id"], Caller(ClientId("other"), frozenset()))


async def test_an_old_state_is_no_answer_to_an_inquiry(payer: Payer) -> None:
    await payer.submit(first(b.item(), RESPONSE=UNMET))
    await payer.submit(update(b.item()))
    item = b.item()
    pended = b.coded("https://codesystem.x12.org/005010/306", "A4")
    item["extension"] = [{"url": PAS + "reviewActionCode", "valueCodeableConcept": pended}]
    answer = await payer.inquire(b.bundle({b.CLAIM: b.claim(item)}))
    assert "parameter" not in answer
