"""Updates and cancellations by the real rules, in the forms of both guide versions."""

from __future__ import annotations

import copy
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from service.pas.shape import Version
from service.policy.case import InfoRequest
from service.ports import CASE_CHANGED, CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import (
    BOTH,
    CANCELLED,
    CERTIFICATION,
    UNMET,
    Json,
    cancelled,
    case_of,
    claim_url,
    codes,
    denied,
    first,
    info,
    on_file,
    previous_of,
    update,
    whole_cancel,
)
from tests.unit.pas.payer import Payer, action_of, extension_of, response_of


@BOTH
@pytest.mark.requirement("spec-46", "spec-69", "spec-70", "spec-71", "spec-72")
async def test_a_chain_adds_changes_and_cancels(payer: Payer, version: Version) -> None:
    """The story of the conformance kit: initial, add an item, change one and cancel one, cancel all."""
    initial = response_of(await payer.submit(first(b.item(1)), version))
    number = initial["preAuthRef"]
    added = response_of(await payer.submit(update(b.item(1), info(b.item(2), "added")), version))
    assert codes(added) == {1: "A1", 2: "A1"}
    assert action_of(added["item"][0])["number"] == number
    assert action_of(added["item"][1])["number"] != number
    fewer = info(b.item(1, quantity={"value": 10, "unit": "unit"}), "changed")
    third = response_of(await payer.submit(update(fewer, cancelled(b.item(2)), number=3), version))
    assert codes(third) == {1: "A1", 2: "C"}
    assert third["outcome"] == "complete"
    assert previous_of(third["item"][0]) == number
    assert previous_of(third["item"][1]) == action_of(added["item"][1])["number"]
    assert third["preAuthRef"] == action_of(third["item"][0])["number"]
    gone = b.item(2)
    last = update(fewer, cancelled(gone, newly=False), number=4, extension=[whole_cancel()])
    fourth = response_of(await payer.submit(last, version))
    assert codes(fourth) == {1: "C", 2: "C"}
    assert fourth["outcome"] == "complete"
    assert "preAuthRef" not in fourth
    assert await on_file(payer) == []


async def test_the_case_is_replaced_and_both_trails_say_so(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item())))
    new = response_of(await payer.submit(update(b.item(quantity={"value": 10, "unit": "unit"}))))
    before, after = await case_of(payer, old), await case_of(payer, new)
    assert (before.replaced_by, after.replaces, before.revision) == (after.id, before.id, 2)
    assert after.linked == (before.id,)
    assert [len(await payer.store.audit(one.id)) for one in (before, after)] == [2, 1]
    assert await payer.store.verify_audit(before.id)
    assert [(event.kind, event.case_id) for event in payer.store.events] == [(CASE_CHANGED, after.id)]


async def test_an_unchanged_approved_line_keeps_its_approval_whatever_else_is_sent(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(1))))
    payer.clock.advance(timedelta(days=3))
    other = b.item(2, code="99212")
    new = response_of(await payer.submit(update(b.item(1), info(other, "added"), changed={b.RESPONSE: UNMET})))
    assert codes(new) == {1: "A1", 2: "A4"}
    assert action_of(new["item"][0])["number"] == old["preAuthRef"]
    issued = extension_of(new["item"][0], "itemPreAuthIssueDate")
    assert issued is not None
    assert issued["valueDate"] == "2026-09-01"
    assert previous_of(new["item"][0]) is None
    assert await on_file(payer) == [old["preAuthRef"]]


async def test_a_change_that_misses_the_criteria_pends_and_the_old_number_stays_valid(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item())))
    new = response_of(await payer.submit(update(info(b.item(), "changed"), changed={b.RESPONSE: UNMET})))
    assert codes(new) == {1: "A4"}
    assert previous_of(new["item"][0]) == old["preAuthRef"]
    assert "preAuthRef" not in new
    assert any(f"{old['preAuthRef']} stays valid" in note["text"] for note in new["processNote"])
    assert await on_file(payer) == [old["preAuthRef"]]
    third = update(info(b.item(quantity={"value": 9, "unit": "unit"}), "changed"), number=3)
    approved = response_of(await payer.submit(third))
    assert previous_of(approved["item"][0]) == old["preAuthRef"]
    assert await on_file(payer) == [approved["preAuthRef"]]


@pytest.mark.parametrize("changes", ["quantity", "dates", "team", "diagnosis"])
@pytest.mark.requirement("spec-71")
async def test_a_change_that_is_not_marked_is_noticed(payer: Payer, changes: str) -> None:
    await payer.submit(first(b.item()))
    item: Json = b.item()
    rest: Json = {}
    others: dict[str, Json] = {b.RESPONSE: UNMET}
    if changes == "quantity":
        item["quantity"] = {"value": 62, "unit": "unit"}
    elif changes == "dates":
        item["servicedPeriod"] = {"start": "2026-09-09", "end": "2026-11-30"}
    elif changes == "team":
        others[b.PRACTITIONER] = {
            "resourceType": "Practitioner",
            "identifier": [{"system": b.NPI, "value": "1999999992"}],
        }
    else:
        icd = "http://hl7.org/fhir/sid/icd-10-cm"
        rest["diagnosis"] = [{"sequence": 1, "diagnosisCodeableConcept": b.coded(icd, "C50.9")}]
    response = response_of(await payer.submit(update(item, changed=others, **rest)))
    assert codes(response) == {1: "A4"}


async def test_new_full_urls_for_the_same_people_change_nothing(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item())))
    request = update(b.item(), changed={b.RESPONSE: UNMET})
    text = copy.deepcopy(request)
    moved = _renamed(text, {b.PRACTITIONER: claim_url(91), b.ROLE: claim_url(92), b.ORDER: claim_url(93)})
    assert response_of(await payer.submit(moved))["preAuthRef"] == old["preAuthRef"]


def _renamed(node: Any, names: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _renamed(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_renamed(value, names) for value in node]
    return names.get(node, node) if isinstance(node, str) else node


async def test_a_pended_line_is_decided_anew_on_the_evidence_that_was_missing(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(), RESPONSE=UNMET)))
    new = response_of(await payer.submit(update(b.item())))
    assert (codes(old), codes(new)) == ({1: "A4"}, {1: "A1"})
    assert previous_of(new["item"][0]) is None
    lines = [(await case_of(payer, one)).lines[0] for one in (old, new)]
    assert lines[0].reference_number == lines[1].reference_number


async def test_the_deadline_of_a_waiting_case_does_not_move(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(), RESPONSE=UNMET)))
    payer.clock.advance(timedelta(days=2))
    again = b.response({**b.ANSWERS, "es-sclc": False, "step-up-dosing": False})
    new = response_of(await payer.submit(update(b.item(), changed={b.RESPONSE: again})))
    assert (await case_of(payer, new)).due == (await case_of(payer, old)).due


@BOTH
async def test_everything_is_cancelled_without_repeating_the_items(payer: Payer, version: Version) -> None:
    two = response_of(await payer.submit(first(b.item(1), b.item(2, code="99212")), version))
    number = action_of(two["item"][0])["number"]
    bundle = update(b.item(), extension=[whole_cancel()])
    del bundle["entry"][0]["resource"]["item"]
    gone = response_of(await payer.submit(bundle, version))
    assert codes(gone) == {1: "C", 2: "C"}
    assert previous_of(gone["item"][0]) == number
    trace = extension_of(gone["item"][0], "itemTraceNumber")
    assert trace is not None
    assert await on_file(payer) == []


@pytest.mark.requirement("spec-46")
async def test_a_line_that_the_update_leaves_out_is_not_cancelled(payer: Payer) -> None:
    two = response_of(await payer.submit(first(b.item(1), b.item(2))))
    new = response_of(await payer.submit(update(b.item(1))))
    assert codes(new) == {1: "A1", 2: "A1"}
    assert new["preAuthRef"] == two["preAuthRef"]
    third = update(b.item(1), number=3)
    third["entry"][0]["resource"]["careTeam"][0]["provider"] = b.refer(b.REQUESTOR)
    answer = response_of(await payer.submit(third))
    assert codes(answer) == {1: "A1", 2: "A1"}
    # Line 2 was authorized for somebody whom this version does not name.
    assert extension_of(answer["item"][1], "itemAuthorizedProvider") is None


async def test_false_cancels_nothing(payer: Payer) -> None:
    item = b.item(modifierExtension=[{"url": CANCELLED, "valueBoolean": False}])
    assert codes(response_of(await payer.submit(first(item)))) == {1: "A1"}
    assert codes(response_of(await payer.submit(update(item)))) == {1: "A1"}


async def test_a_line_cancelled_before_stays_cancelled_under_its_number(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(1), b.item(2))))
    await payer.submit(update(b.item(1), cancelled(b.item(2))))
    third = response_of(await payer.submit(update(b.item(1), cancelled(b.item(2), newly=False), number=3)))
    assert codes(third) == {1: "A1", 2: "C"}
    assert previous_of(third["item"][1]) == old["preAuthRef"]


@pytest.mark.requirement("spec-64")
async def test_a_denied_request_takes_no_update_and_a_new_request_is_welcome(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(), RESPONSE=UNMET)))
    await denied(payer, old, 1)
    refused = response_of(await payer.submit(update(b.item())))
    assert refused["outcome"] == "error"
    assert "item" not in refused
    (error,) = refused["error"]
    assert error["code"]["coding"][0]["code"] == "33"
    follow_up = extension_of(error, "errorFollowupAction")
    assert follow_up is not None
    assert follow_up["valueCodeableConcept"]["coding"][0]["code"] == "N"
    path = extension_of(error, "errorPath")
    assert path is not None
    assert path["valueString"] == "Bundle.entry[0].resource.related"
    assert (await case_of(payer, old)).replaced_by is None
    new = first(b.item(), RESPONSE=b.response())
    assert codes(response_of(await payer.submit(new))) == {1: "A1"}


async def test_a_denied_line_refuses_its_own_change_only(payer: Payer) -> None:
    other = b.item(2, code="99212")
    old = response_of(await payer.submit(first(b.item(1), other)))
    await denied(payer, old, 2)
    more = response_of(await payer.submit(update(b.item(1, quantity={"value": 9, "unit": "unit"}), other)))
    assert codes(more) == {1: "A1", 2: "A3"}
    assert "preAuthRef" not in more
    changed = update(b.item(1), info(other, "changed"), number=3)
    assert response_of(await payer.submit(changed))["outcome"] == "error"
    silently = update(b.item(1), {**other, "quantity": {"value": 3, "unit": "unit"}}, number=4, prior=2)
    assert response_of(await payer.submit(silently))["outcome"] == "error"
    withdrawn = update(b.item(1), cancelled(other), number=5, prior=2)
    assert codes(response_of(await payer.submit(withdrawn))) == {1: "A1", 2: "A3"}


async def test_a_cancelled_request_takes_no_update(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    await payer.submit(update(cancelled(b.item())))
    assert response_of(await payer.submit(update(b.item(), number=3)))["outcome"] == "error"


@pytest.mark.parametrize("code", ["1", "2"])
async def test_an_appeal_is_no_update_and_a_person_decides_it(payer: Payer, code: str) -> None:
    old = response_of(await payer.submit(first(b.item(), RESPONSE=UNMET)))
    await denied(payer, old, 1)
    item = b.item()
    item["extension"][1]["valueCodeableConcept"] = b.coded(CERTIFICATION, code)
    appeal = response_of(await payer.submit(update(item)))
    assert codes(appeal) == {1: "A4"}
    assert "appeal" in " ".join(note["text"] for note in appeal["processNote"])
    case = await case_of(payer, appeal)
    assert (case.replaces, case.linked) == (None, (old["id"],))
    assert case.urgency == ("expedited" if code == "1" else "standard")


async def test_what_was_asked_for_is_answered_by_the_update(payer: Payer) -> None:
    old = response_of(await payer.submit(first(b.item(), RESPONSE=UNMET)))
    case = await case_of(payer, old)
    asked = InfoRequest("ACN-1", 1, "Pathology", (), "11526-1", case.received_at, case.received_at)
    await payer.store.save(CaseChange(replace(case, asked=(asked,)), case.revision, {"kind": "asked"}))
    payer.clock.advance(timedelta(hours=1))
    new = await case_of(payer, response_of(await payer.submit(update(b.item()))))
    assert [one.answered_at for one in new.asked] == [new.received_at]
    assert await payer.store.case_by_number("ACN-1") == new


async def test_an_update_is_no_overlap_with_itself(payer: Payer) -> None:
    await payer.submit(first(b.item()))
    second = response_of(await payer.submit(update(info(b.item(quantity={"value": 5, "unit": "unit"}), "changed"))))
    third = update(info(b.item(quantity={"value": 6, "unit": "unit"}), "changed"), number=3)
    response = response_of(await payer.submit(third))
    assert "processNote" not in second
    assert "processNote" not in response


async def test_a_whole_with_a_cancelled_line_is_granted_for_the_rest(payer: Payer) -> None:
    await payer.submit(first(b.item(1), b.item(2)))
    new = response_of(await payer.submit(update(b.item(1), cancelled(b.item(2)))))
    assert new["preAuthRef"] == action_of(new["item"][0])["number"]
    assert new["preAuthPeriod"] == {"start": "2026-09-08", "end": "2027-09-07"}
    assert (await case_of(payer, new)).first_service == date(2026, 9, 8)
