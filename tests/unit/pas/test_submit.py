"""Claim/$submit by the real rules: decisions, replay, what is stored, and what never escapes."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import pytest

from service.errors import DeadlinePassed, InvalidPolicy, ServiceError
from service.fhir.json import encode
from service.pas import judge
from service.policy.case import CaseId, MemberId
from service.policy.decision import Outcome
from service.ports import Evaluation
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import NOW, PAS, Payer, action_of, code_of, extension_of, response_of

Json = dict[str, Any]


def answered(**answers: Any) -> Json:
    """The base request with other answers; None leaves one out."""
    changed = {name.replace("_", "-"): value for name, value in answers.items()}
    kept = {name: value for name, value in (b.ANSWERS | changed).items() if value is not None}
    return b.bundle({b.RESPONSE: b.response(kept)})


def certification(code: str) -> Json:
    return {
        "url": PAS + "certificationType",
        "valueCodeableConcept": b.coded("https://codesystem.x12.org/005010/1322", code),
    }


async def test_a_complete_request_is_approved(payer: Payer) -> None:
    response = response_of(await payer.submit(b.bundle()))
    assert response["outcome"] == "complete"
    (item,) = response["item"]
    assert code_of(item) == "A1"
    (case,) = await payer.cases()
    number = case.authorization_number
    assert number is not None
    assert len(number) == 12
    assert action_of(item)["number"] == response["preAuthRef"] == number
    assert response["preAuthPeriod"] == {"start": "2026-09-08", "end": "2027-09-07"}
    assert "error" not in response


async def test_an_unmet_criterion_pends_with_a_numbered_note(payer: Payer) -> None:
    response = response_of(await payer.submit(answered(es_sclc=False)))
    (item,) = response["item"]
    assert code_of(item) == "A4"
    assert "preAuthRef" not in response
    assert "preAuthPeriod" not in response
    assert "number" not in action_of(item)
    assert item["noteNumber"] == [1, 2]
    note, deadline = response["processNote"]
    assert (note["number"], deadline["number"]) == (1, 2)
    assert deadline["text"] == "A decision is due by 2026-09-04T15:04:07Z."
    assert "may be considered investigational for all other indications" in note["text"]
    assert "5.21.223" in note["text"]


async def test_each_unknown_criterion_has_its_own_note(payer: Payer) -> None:
    response = response_of(await payer.submit(answered(es_sclc=None, step_up_dosing=None)))
    assert response["item"][0]["noteNumber"] == [1, 2, 3]
    assert [note["number"] for note in response["processNote"]] == [1, 2, 3]


async def test_without_any_response_the_request_is_pended_not_refused(payer: Payer) -> None:
    claim = b.claim(b.item())
    del claim["supportingInfo"], claim["item"][0]["informationSequence"]
    response = response_of(await payer.submit(b.bundle({b.CLAIM: claim})))
    assert code_of(response["item"][0]) == "A4"


async def test_lines_are_decided_each_by_itself(payer: Payer) -> None:
    other = b.item(2, code="99212")
    other["extension"] = other["extension"][:3]
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(b.item(1), other)})))
    assert [(item["itemSequence"], code_of(item)) for item in response["item"]] == [(1, "A1"), (2, "A4")]
    assert response["outcome"] == "partial"
    assert "preAuthRef" not in response
    assert action_of(response["item"][0])["number"].startswith("PA")
    assert "noteNumber" not in response["item"][0]
    assert response["item"][1]["noteNumber"] == [1, 2]


async def test_note_numbers_run_over_all_lines(payer: Payer) -> None:
    claim = b.claim(b.item(1), b.item(2))
    bundle = b.bundle({b.CLAIM: claim, b.RESPONSE: b.response({**b.ANSWERS, "es-sclc": False})})
    response = response_of(await payer.submit(bundle))
    assert [item["noteNumber"] for item in response["item"]] == [[1, 3], [2, 3]]
    assert [note["number"] for note in response["processNote"]] == [1, 2, 3]


async def test_another_payers_request_is_an_error_and_nobodys_case(payer: Payer) -> None:
    response = response_of(await payer.submit(b.bundle({b.INSURER: b.insurer("OTHER")})))
    assert response["outcome"] == "error"
    assert "item" not in response
    (error,) = response["error"]
    assert error["code"]["coding"] == [{"system": "https://codesystem.x12.org/005010/901", "code": "T4"}]
    path = extension_of(error, "errorPath")
    assert path is not None
    assert path["valueString"] == "Bundle.entry[2].resource.identifier"
    follow_up = extension_of(error, "errorFollowupAction")
    assert follow_up is not None
    assert follow_up["valueCodeableConcept"]["coding"][0]["code"] == "C"
    assert await payer.cases() == []


async def test_an_insurer_without_identifier_is_doubt(payer: Payer) -> None:
    insurer = b.insurer()
    del insurer["identifier"]
    response = response_of(await payer.submit(b.bundle({b.INSURER: insurer})))
    assert code_of(response["item"][0]) == "A4"


async def test_a_repeated_submission_gets_the_first_answer(payer: Payer) -> None:
    first = await payer.submit_bytes(encode(b.bundle()))
    later = {**b.bundle(), "timestamp": "2027-01-01T00:00:00Z"}
    wrapped = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": later}]}
    assert await payer.submit_bytes(encode(b.bundle())) == first
    assert await payer.submit_bytes(encode(later)) == first
    assert await payer.submit_bytes(encode(wrapped)) == first
    assert len(await payer.cases()) == 1


async def test_another_client_or_version_gets_its_own_answer(payer: Payer) -> None:
    first = response_of(await payer.submit(b.bundle()))
    other = response_of(await payer.submit(b.bundle(), client="other"))
    older = response_of(await payer.submit(b.bundle(), version="2.0.1"))
    assert len({first["id"], other["id"], older["id"]}) == 3


async def test_the_same_identifier_with_other_content_is_a_new_case(payer: Payer) -> None:
    first = response_of(await payer.submit(b.bundle()))
    second = response_of(await payer.submit(answered(es_sclc=False)))
    assert first["id"] != second["id"]
    assert len(await payer.cases()) == 2


async def test_two_at_once_with_identical_content_are_one_case(payer: Payer) -> None:
    body = encode(b.bundle())
    first, second = await asyncio.gather(payer.submit_bytes(body), payer.submit_bytes(body))
    assert first == second
    assert len(await payer.cases()) == 1


@pytest.mark.requirement("spec-26")
async def test_what_was_received_and_why_it_was_decided_is_stored(payer: Payer) -> None:
    body = encode(b.bundle())
    response = response_of(json.loads(await payer.submit_bytes(body)))
    found = await payer.store.case(CaseId(response["id"]))
    assert found is not None
    case, stored = found
    assert stored == body
    assert (case.member, case.client, case.guide_version) == ("M000123", "clinic", "2.2.1")
    assert case.providers == {"1245319599", "1003000126"}
    assert case.first_service == date(2026, 9, 8)
    assert case.received_at == NOW
    (entry,) = await payer.store.audit(case.id)
    audit = json.loads(entry.document)
    assert audit["determination"]["decision"] == "approved"
    assert [c["id"] for c in audit["determination"]["lines"][0]["criteria"]][:2] == ["age", "es-sclc"]
    assert audit["policies"][0].startswith("imdelltra|2026-04-01|sha256:")
    assert audit["input"].startswith("sha256:")
    assert (audit["client"], audit["actor"], audit["engine_version"]) == ("clinic", "rules", "test")


async def test_nothing_is_stored_for_what_is_refused(payer: Payer) -> None:
    bundle = b.bundle()
    bundle["entry"].pop(1)
    with pytest.raises(ServiceError):
        await payer.submit(bundle)
    assert await payer.cases() == []


class Failing:
    """An engine that answers with an exception."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        raise self.error


class Hanging:
    """An engine that never answers."""

    async def evaluate(self, evaluation: Evaluation) -> Mapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("never")


@pytest.mark.parametrize("error", [DeadlinePassed("late"), InvalidPolicy("two policies"), TimeoutError()])
async def test_a_failing_engine_ends_in_a_pended_case(payer: Payer, error: Exception) -> None:
    payer.evaluate_with(Failing(error))
    response = response_of(await payer.submit(b.bundle()))
    assert code_of(response["item"][0]) == "A4"
    assert "evaluated automatically" in " ".join(note["text"] for note in response["processNote"])
    assert len(await payer.cases()) == 1


@pytest.mark.requirement("spec-7")
async def test_an_engine_that_hangs_ends_in_a_pended_case(payer: Payer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "DECIDE_SECONDS", 0.01)
    payer.evaluate_with(Hanging())
    response = response_of(await payer.submit(b.bundle()))
    assert code_of(response["item"][0]) == "A4"
    assert len(await payer.cases()) == 1


async def test_a_cancelled_certification_is_not_approved(payer: Payer) -> None:
    on_item = b.item()
    on_item["extension"][1] = certification("3")
    on_claim = b.claim(b.item(), extension=[certification("3")])
    for claim in (b.claim(on_item), on_claim):
        response = response_of(await payer.submit(b.bundle({b.CLAIM: claim})))
        assert code_of(response["item"][0]) == "A4"
        assert "cancels this service" in response["processNote"][0]["text"]


async def test_a_range_of_codes_is_not_approved(payer: Payer) -> None:
    item = b.item()
    item["extension"].append(
        {"url": PAS + "productOrServiceCodeEnd", "valueCodeableConcept": b.coded(b.HCPCS, "J9999")}
    )
    response = response_of(await payer.submit(b.bundle({b.CLAIM: b.claim(item)})))
    assert code_of(response["item"][0]) == "A4"


async def test_an_overlapping_case_is_linked_and_noted_and_decides_nothing(payer: Payer) -> None:
    first = response_of(await payer.submit(b.bundle()))
    later = b.claim(b.item(servicedPeriod={"start": "2026-10-01", "end": "2026-12-01"}))
    second = response_of(await payer.submit(b.bundle({b.CLAIM: later})))
    assert code_of(second["item"][0]) == "A1"
    (note,) = second["processNote"]
    assert second["item"][0]["noteNumber"] == [1]
    assert first["preAuthRef"] in note["text"]
    newest, oldest = await payer.cases()
    assert newest.linked == (oldest.id,)


async def test_another_clients_number_is_not_told(payer: Payer) -> None:
    first = response_of(await payer.submit(b.bundle(), client="other"))
    second = response_of(await payer.submit(b.bundle()))
    (note,) = second["processNote"]
    assert "approved for overlapping dates" in note["text"]
    assert first["preAuthRef"] not in note["text"]


async def test_several_overlapping_cases_are_one_note(payer: Payer) -> None:
    await payer.submit(b.bundle())
    await payer.submit(answered(es_sclc=False))
    pended, approved = await payer.cases()
    third = b.claim(b.item(), identifier=[{"system": "urn:trnorg:1245319599", "value": "THIRD"}])
    response = response_of(await payer.submit(b.bundle({b.CLAIM: third})))
    (note,) = response["processNote"]
    assert note["text"].startswith("2 other requests")
    assert "open or approved" in note["text"]
    assert pended.lines[0].reference_number in note["text"]
    assert (await payer.cases())[0].linked == (pended.id, approved.id)


async def test_dates_that_do_not_overlap_are_not_noted(payer: Payer) -> None:
    await payer.submit(answered(es_sclc=False))
    later = b.claim(b.item(servicedPeriod={"start": "2026-12-05", "end": "2026-12-31"}))
    second = response_of(await payer.submit(b.bundle({b.CLAIM: later})))
    assert "processNote" not in second
    assert (await payer.cases())[0].linked == ()


PRIOR = "http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship"
RELATED: dict[str, Callable[[Json], Json]] = {
    "its own fullUrl": lambda _: {"reference": b.CLAIM},
    "our address": lambda first: {"reference": f"https://payer.example.org/fhir/Claim/{first['id']}"},
    "its identifier": lambda _: {"identifier": {"system": "urn:trnorg:1245319599", "value": "TRN-2026-000123"}},
}


@pytest.mark.parametrize("named", RELATED)
async def test_an_update_is_evaluated_anew_and_linked_to_what_it_updates(payer: Payer, named: str) -> None:
    first = response_of(await payer.submit(answered(es_sclc=False)))
    update = b.claim(related=[{"claim": RELATED[named](first), "relationship": b.coded(PRIOR, "prior")}])
    bundle = b.bundle({b.CLAIM: update})
    bundle["entry"][0]["fullUrl"] = "urn:uuid:a0000000-0000-4000-8000-000000000002"
    second = response_of(await payer.submit(bundle))
    assert code_of(second["item"][0]) == "A1"
    assert "processNote" not in second
    newest, oldest = await payer.cases()
    assert (oldest.id, newest.linked) == (first["id"], (first["id"],))


async def test_a_prior_claim_in_the_bundle_is_not_decided(payer: Payer) -> None:
    update = b.claim(related=[{"claim": b.refer("urn:uuid:77"), "relationship": b.coded(PRIOR, "prior")}])
    prior = b.claim(b.item(1), b.item(2))
    bundle = await payer.submit(b.bundle({b.CLAIM: update, "urn:uuid:77": prior}))
    assert [item["itemSequence"] for item in response_of(bundle)["item"]] == [1]
    assert [e["resource"]["resourceType"] for e in bundle["entry"]].count("Claim") == 0


async def test_a_renewal_needs_an_authorization_on_file(payer: Payer) -> None:
    form = b.FORM.replace("initial", "renewal")
    answers = {
        "birth-date": "1958-02-03",
        "es-sclc": True,
        "disease-progression": False,
        "unacceptable-toxicity": False,
        "neurotoxicity-monitoring": True,
        "female-of-reproductive-potential": False,
    }
    claim = b.claim(b.item(servicedPeriod={"start": "2027-08-01", "end": "2027-08-20"}))
    renewal = b.bundle({b.CLAIM: claim, b.RESPONSE: b.response(answers, form)})
    early = response_of(await payer.submit(renewal, client="early"))
    assert code_of(early["item"][0]) == "A4"
    assert "No authorization on file" in early["processNote"][0]["text"]
    await payer.submit(b.bundle())
    assert code_of(response_of(await payer.submit(renewal))["item"][0]) == "A1"
    assert len(await payer.store.authorizations(MemberId("M000123"), "imdelltra")) == 2


async def test_rules_never_deny(payer: Payer) -> None:
    bundle = b.bundle({b.RESPONSE: b.response({name: False for name in b.ANSWERS if name != "birth-date"})})
    await payer.submit(bundle)
    (case,) = await payer.cases()
    assert {line.determination.outcome for line in case.lines} == {Outcome.PENDED}


async def test_what_was_received_is_not_changed(payer: Payer) -> None:
    bundle = b.bundle()
    before = copy.deepcopy(bundle)
    await payer.submit(bundle)
    assert bundle == before
