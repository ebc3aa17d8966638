"""$inquire after a reviewer: a change, a denial and a question are told in both versions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from service.fhir.parse import StructureCheck
from service.pas.shape import Version
from service.policy.case import CaseId, InfoRequest
from service.policy.dates import DatePeriod
from service.policy.decision import Clinician, Reviewer
from service.policy.determination import Granted
from service.policy.review import ApproveModified, Ask, Deny, Verdict, apply
from service.ports import CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas.changes import BOTH, UNMET
from tests.unit.pas.payer import NOW, Payer, action_of, code_of, extension_of, response_of
from tests.unit.pas.test_inquire import found, inquiry, line

Json = dict[str, Any]
CLINICIAN = Clinician("Dr. A. Reviewer", "1888888884", "207RH0003X")
REVIEWER = Reviewer("R. Nurse")
YEAR = DatePeriod(date(2026, 9, 8), date(2027, 9, 7))
NUMBER = "PA0000000001"


async def reviewed(payer: Payer, verdict: Verdict, actor: Clinician | Reviewer) -> str:
    """A case that the rules pended, and a person's verdict on its line; its id."""
    case_id = CaseId(response_of(await payer.submit(b.bundle({b.RESPONSE: UNMET})))["id"])
    stored = await payer.store.case(case_id)
    assert stored is not None
    payer.clock.advance(timedelta(hours=3))
    verdicts: Mapping[int, Verdict] = {1: verdict}
    changed = apply(stored[0], verdicts, actor, payer.clock.now(), NUMBER)
    await payer.store.save(CaseChange(changed, stored[0].revision, {"kind": "decision"}))
    return case_id


async def told(payer: Payer, version: Version, check: StructureCheck) -> Json:
    """The one ClaimResponse that an inquiry gets, valid in its version."""
    answer = await payer.inquire(inquiry(line()), version)
    assert check.check(answer) == ()
    get_fhir_model_class(answer["resourceType"]).model_validate(json.loads(json.dumps(answer)))
    [response] = found(answer)
    return response


def reviewer_of(response: Json) -> Json | None:
    said = extension_of(response, "claimResponseReviewer")
    if said is None:
        return None
    return {part["url"]: next(v for k, v in part.items() if k != "url") for part in said["extension"]}


@BOTH
async def test_fewer_units_are_told(payer: Payer, check: StructureCheck, version: Version) -> None:
    verdict = ApproveModified(Granted(Decimal(40), "unit"), YEAR, "Forty units are enough for the period.")
    case_id = await reviewed(payer, verdict, REVIEWER)
    response = await told(payer, version, check)
    assert (response["id"], response["outcome"], response["preAuthRef"]) == (case_id, "complete", NUMBER)
    [item] = response["item"]
    assert (code_of(item), action_of(item)["number"]) == ("A6", NUMBER)
    detail = extension_of(item, "itemAuthorizedDetail")
    assert detail is not None
    [quantity] = [part["valueQuantity"]["value"] for part in detail["extension"] if part["url"] == "quantity"]
    assert quantity == 40
    assert verdict.reason in [note["text"] for note in response["processNote"]]
    if version == "2.2.1":
        [added] = response["addItem"]
        assert (added["itemSequence"], added["quantity"]["value"], code_of(added)) == ([1], 40, "A1")
        assert reviewer_of(response) == {"wasHumanReviewedFlag": True}
    else:
        assert "addItem" not in response


@BOTH
async def test_other_dates_are_told(payer: Payer, check: StructureCheck, version: Version) -> None:
    dates = DatePeriod(date(2026, 9, 20), date(2026, 10, 20))
    await reviewed(payer, ApproveModified(Granted(serviced=dates), YEAR, "After the scan."), REVIEWER)
    response = await told(payer, version, check)
    assert code_of(response["item"][0]) == "A6"
    if version == "2.2.1":
        [added] = response["addItem"]
        assert added["servicedPeriod"] == {"start": "2026-09-20", "end": "2026-10-20"}


@BOTH
async def test_a_denial_names_reason_and_who_denied(payer: Payer, check: StructureCheck, version: Version) -> None:
    await reviewed(payer, Deny("The indication is investigational.", "Ask for a peer-to-peer call."), CLINICIAN)
    response = await told(payer, version, check)
    [item] = response["item"]
    assert (code_of(item), response["outcome"], "preAuthRef" in response) == ("A3", "complete", False)
    assert "reasonCode" not in action_of(item)
    notes = [note["text"] for note in response["processNote"]]
    assert notes[:2] == ["The indication is investigational.", "Ask for a peer-to-peer call."]
    assert any(payer.settings.appeal_text in note for note in notes)
    if version == "2.2.1":
        said = reviewer_of(response)
        assert said is not None
        assert said["wasHumanReviewedFlag"] is True
        assert said["reviewerNPI"]["value"] == "1888888884"
        assert said["reviewerSpecialty"]["coding"][0]["code"] == "207RH0003X"
    else:
        # 2.0.1 has no place for who decided.
        assert "1888888884" not in json.dumps(response)


@BOTH
async def test_a_question_is_told_and_the_case_goes_on_waiting(
    payer: Payer, check: StructureCheck, version: Version
) -> None:
    asked = InfoRequest("ACDOC", 1, "Send the pathology report.", (), "11526-1", NOW, NOW + timedelta(days=1))
    await reviewed(payer, Ask((asked,)), REVIEWER)
    response = await told(payer, version, check)
    waiting = {"2.2.1": "partial", "2.0.1": "queued"}[version]
    assert (code_of(response["item"][0]), response["outcome"]) == ("A4", waiting)
    assert "Send the pathology report." in [note["text"] for note in response["processNote"]]
    assert extension_of(response["item"][0], "administrationReferenceNumber") is not None


@BOTH
async def test_others_see_the_decision_by_member_and_npi_alone(payer: Payer, version: Version) -> None:
    await reviewed(payer, Deny("The indication is investigational."), CLINICIAN)
    allowed = await payer.inquire(inquiry(line()), version, "other", frozenset({"1245319599"}))
    [response] = found(allowed)
    assert code_of(response["item"][0]) == "A3"
    assert found(await payer.inquire(inquiry(line()), version, "other", frozenset({"1999999992"}))) == []


@pytest.mark.parametrize("version", ["2.2.1"])
async def test_decided_since_is_the_current_state_and_not_the_first_answer(
    payer: Payer, check: StructureCheck, version: Version
) -> None:
    """The reply to a repeated $submit is the first one; an inquiry tells what holds now."""
    bundle = b.bundle({b.RESPONSE: UNMET})
    await reviewed(payer, Deny("The indication is investigational."), CLINICIAN)
    again = response_of(await payer.submit(bundle, version))
    assert code_of(again["item"][0]) == "A4"
    assert code_of((await told(payer, version, check))["item"][0]) == "A3"
