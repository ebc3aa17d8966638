"""$submit-attachment: answers re-open the evaluation, documents wait for a reviewer, nobody else's are reached."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from service.errors import BusinessRule, Conflict, InvalidResource, MissingElement, NotFound
from service.fhir.json import encode
from service.pas.attachment import SubmitAttachment
from service.pas.replay import replay
from service.policy.case import Case, CaseId, ClientId, InfoRequest
from service.policy.decision import Obstacle, Outcome, Reviewer
from service.policy.review import Ask, apply
from service.ports import CASE_CHANGED, CASE_DECIDED, Caller, CaseChange
from tests.unit.pas import bundles as b
from tests.unit.pas.payer import CLINIC, Payer, code_of, response_of

Json = dict[str, Any]
DOCUMENT = {
    "resourceType": "DocumentReference",
    "status": "current",
    "content": [{"attachment": {"contentType": "application/pdf", "data": "aGVsbG8="}}],
}


def sent(number: str, *contents: Json, member: str = "M000123", final: bool | None = True, **changes: Any) -> Json:
    """The Parameters; a change of None leaves that one out."""
    values: dict[str, Json | None] = {
        "TrackingId": {"valueIdentifier": {"system": "https://payer.example.org/acn", "value": number}},
        "AttachTo": {"valueCode": "preauthorization"},
        "PayerId": {"valueIdentifier": {"system": "https://payer.example.org/payer-id", "value": "PAYER01"}},
        "OrganizationId": {"valueIdentifier": {"system": b.NPI, "value": "1245319599"}},
        "ProviderId": {"valueIdentifier": {"system": b.NPI, "value": "1003000126"}},
        "MemberId": {"valueIdentifier": {"system": b.MEMBER_SYSTEM, "value": member}},
        "ServiceDate": {"valueDate": "2026-09-08"},
        "Final": None if final is None else {"valueBoolean": final},
    }
    parameters = [{"name": name, **value} for name, value in (values | changes).items() if value is not None]
    for content in contents:
        parts = [{"name": "LineItem", "valueString": "1"}, {"name": "Content", "resource": content}]
        parameters.append({"name": "Attachment", "part": parts})
    return {"resourceType": "Parameters", "parameter": parameters}


async def take(payer: Payer, body: Any, client: str = CLINIC) -> Json:
    taken = await SubmitAttachment(payer.dependencies)(encode(body), Caller(ClientId(client), frozenset()))
    return taken.answer


async def pended(payer: Payer, answers: Json | None = None, *items: Json) -> Case:
    """A case with an open request for the questionnaire."""
    changed = {b.RESPONSE: b.response(answers or {}), b.CLAIM: b.claim(*items)}
    case_id = CaseId(response_of(await payer.submit(b.bundle(changed)))["id"])
    return await stored(payer, case_id)


async def stored(payer: Payer, case_id: CaseId) -> Case:
    found = await payer.store.case(case_id)
    assert found is not None
    return found[0]


def text_of(answer: Json) -> str:
    assert answer["resourceType"] == "OperationOutcome"
    [issue] = answer["issue"]
    assert issue["severity"] == "information"
    return str(issue["diagnostics"])


async def test_answers_complete_the_request_and_approve_it(payer: Payer) -> None:
    case = await pended(payer)
    [asked] = case.asked
    body = sent(asked.control_number, b.response())
    payer.clock.advance(timedelta(hours=1))
    assert "evaluated" in text_of(await take(payer, body))
    after = await stored(payer, case.id)
    assert after.outcome is Outcome.APPROVED
    assert after.authorization_number is not None
    assert after.decided_at == after.asked[0].answered_at == payer.clock.now()
    assert after.received_at == case.received_at
    assert after.due == case.due
    assert [event.kind for event in payer.store.events] == [CASE_DECIDED]
    assert [attachment.content for attachment in await payer.store.attachments(case.id)] == [encode(body)]
    assert await payer.store.verify_audit(case.id)
    first, last = await payer.store.requests(case.id)
    assert first == encode(b.bundle({b.RESPONSE: b.response({})}))
    assert b"QuestionnaireResponse" in last
    [hit] = (await payer.inquire(b.bundle()))["parameter"]
    assert code_of(response_of(hit["resource"])["item"][0]) == "A1"


async def test_both_determinations_can_be_made_again(payer: Payer) -> None:
    case = await pended(payer)
    payer.clock.advance(timedelta(days=2))
    # Dated after the first receipt by more than a day: only the second one takes it.
    await take(payer, sent(case.asked[0].control_number, b.response() | {"authored": "2026-09-03T10:00:00Z"}))
    assert (await stored(payer, case.id)).outcome is Outcome.APPROVED
    again = await replay(case.id, payer.dependencies)
    assert again is not None
    assert [one.same for one in again] == [True, True]


async def test_an_answer_inside_a_bundle_counts(payer: Payer) -> None:
    case = await pended(payer)
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": b.response()}]}
    await take(payer, sent(case.asked[0].control_number, bundle))
    assert (await stored(payer, case.id)).outcome is Outcome.APPROVED


async def test_answers_that_leave_something_open_are_asked_for_again(payer: Payer) -> None:
    case = await pended(payer)
    some = {name: value for name, value in b.ANSWERS.items() if name != "step-up-dosing"}
    await take(payer, sent(case.asked[0].control_number, b.response(some)))
    after = await stored(payer, case.id)
    assert after.outcome is Outcome.PENDED
    first, second = after.asked
    assert first.answered_at is not None
    assert (second.link_ids, second.answered_at) == (("step-up-dosing",), None)
    assert second.control_number != first.control_number
    assert [event.kind for event in payer.store.events] == [CASE_CHANGED]
    await take(payer, sent(second.control_number, b.response()))
    assert (await stored(payer, case.id)).outcome is Outcome.APPROVED


async def test_unmet_criteria_do_not_become_met_by_saying_otherwise(payer: Payer) -> None:
    first = {name: value for name, value in b.ANSWERS.items() if name != "step-up-dosing"}
    case = await pended(payer, {**first, "progression-on-platinum": False})
    await take(payer, sent(case.asked[0].control_number, b.response()))
    assert (await stored(payer, case.id)).outcome is Outcome.PENDED


async def test_only_the_lines_that_wait_are_decided_again(payer: Payer) -> None:
    items = [b.item(1), b.item(2, code="J0000")]
    changed = {b.CLAIM: b.claim(*items), b.RESPONSE: b.response({})}
    case_id = CaseId(response_of(await payer.submit(b.bundle(changed)))["id"])
    case = await stored(payer, case_id)
    await take(payer, sent(case.asked[0].control_number, b.response()))
    after = await stored(payer, case_id)
    assert [line.determination.outcome for line in after.lines] == [Outcome.APPROVED, Outcome.NOT_COVERED_BY_POLICY]
    assert [line.reference_number for line in after.lines] == [line.reference_number for line in case.lines]
    issued = after.decided_at
    payer.clock.advance(timedelta(days=1))
    other = replace(case.asked[0], control_number="ACOTHER", sequence=2, answered_at=None)
    again = await payer.store.save(
        CaseChange(replace(after, asked=(*after.asked, other)), after.revision, {"kind": "test"})
    )
    await take(payer, sent("ACOTHER", b.response()))
    last = await stored(payer, case_id)
    assert last.revision > again.revision
    assert last.lines[0].issued_at == issued


async def test_a_document_waits_for_a_reviewer(payer: Payer) -> None:
    case = await asked_for_document(payer)
    number = case.asked[-1].control_number
    assert "reviewer" in text_of(await take(payer, sent(number, DOCUMENT)))
    after = await stored(payer, case.id)
    assert after.outcome is Outcome.PENDED
    assert after.asked[-1].answered_at == payer.clock.now()
    assert after.lines == case.lines
    assert payer.store.events == []
    assert len(await payer.store.attachments(case.id)) == 1
    assert (await payer.store.audit(case.id))[-1].document.count("information-received") == 1
    assert await payer.store.verify_audit(case.id)


async def asked_for_document(payer: Payer) -> Case:
    """A reviewer asks for a pathology report."""
    case = await pended(payer)
    asked = InfoRequest(
        "ACDOC", 1, "Please send the pathology report.", (), "11526-1", payer.clock.now(), payer.clock.now()
    )
    changed = apply(case, {1: Ask((asked,))}, Reviewer("R"), payer.clock.now(), "PA1")
    return await payer.store.save(CaseChange(changed, case.revision, {"kind": "test"}))


async def test_documents_may_come_in_parts(payer: Payer) -> None:
    case = await asked_for_document(payer)
    await take(payer, sent("ACDOC", DOCUMENT, final=False))
    assert (await stored(payer, case.id)).asked[-1].answered_at is None
    await take(payer, sent("ACDOC", DOCUMENT | {"description": "page 2"}, final=None))
    assert (await stored(payer, case.id)).asked[-1].answered_at is not None
    assert len(await payer.store.attachments(case.id)) == 2


@pytest.mark.parametrize("final", [True, False])
async def test_the_same_again_changes_nothing(payer: Payer, final: bool) -> None:
    case = await asked_for_document(payer)
    body = sent("ACDOC", DOCUMENT, final=final)
    await take(payer, body)
    before = await stored(payer, case.id)
    assert "before" in text_of(await take(payer, body))
    assert await stored(payer, case.id) == before
    assert len(await payer.store.attachments(case.id)) == 1


async def test_what_died_half_way_is_completed_by_the_next_call(
    payer: Payer, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await pended(payer)
    body = sent(case.asked[0].control_number, b.response())

    async def fail(change: CaseChange) -> Case:
        raise Conflict("always")

    with monkeypatch.context() as broken:
        broken.setattr(payer.store, "save", fail)
        with pytest.raises(Conflict):
            await take(payer, body)
    assert len(await payer.store.attachments(case.id)) == 1
    await take(payer, body)
    assert (await stored(payer, case.id)).outcome is Outcome.APPROVED
    assert len(await payer.store.attachments(case.id)) == 1


@pytest.mark.parametrize("code", ["appeal", "update-other-member"])
async def test_what_only_a_reviewer_decides_stays_with_the_reviewer(payer: Payer, code: str) -> None:
    case = await pended(payer)
    line = case.lines[0]
    held = replace(
        line.determination, obstacles=(*line.determination.obstacles, Obstacle(code, "A reviewer decides."))
    )
    await payer.store.save(
        CaseChange(replace(case, lines=(replace(line, determination=held),)), case.revision, {"kind": "test"})
    )
    await take(payer, sent(case.asked[0].control_number, b.response()))
    after = await stored(payer, case.id)
    assert after.outcome is Outcome.PENDED
    assert code in {obstacle.code for obstacle in after.lines[0].determination.obstacles}


async def test_nobody_else_and_no_other_number_is_answered(payer: Payer) -> None:
    case = await pended(payer)
    number = case.asked[0].control_number
    refused = [
        (sent(number, b.response()), "stranger"),
        (sent(number, b.response(), member="M999999"), CLINIC),
        (sent("ACUNKNOWN", b.response()), CLINIC),
        (sent(case.lines[0].reference_number, b.response()), CLINIC),
    ]
    texts = set()
    for body, client in refused:
        with pytest.raises(NotFound) as error:
            await take(payer, body, client)
        texts.add(error.value.text)
    assert len(texts) == 1
    assert await stored(payer, case.id) == case
    assert await payer.store.attachments(case.id) == []


async def test_a_line_that_is_decided_takes_no_more(payer: Payer) -> None:
    case = await pended(payer)
    await take(payer, sent(case.asked[0].control_number, b.response()))
    with pytest.raises(BusinessRule):
        await take(payer, sent(case.asked[0].control_number, DOCUMENT))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"TrackingId": None}, MissingElement),
        ({"TrackingId": {"valueIdentifier": {"system": "x:y"}}}, MissingElement),
        ({"TrackingId": {"valueString": "AC1"}}, MissingElement),
        ({"MemberId": None}, MissingElement),
        ({"PayerId": None}, MissingElement),
        ({"PayerId": {"valueIdentifier": {"value": "OTHER"}}}, BusinessRule),
        ({"AttachTo": None}, MissingElement),
        ({"AttachTo": {"valueCode": "claim"}}, BusinessRule),
        ({"AttachTo": {"valueCode": 7}}, InvalidResource),
    ],
)
async def test_what_is_no_such_call_is_refused(payer: Payer, changes: Json, error: type[Exception]) -> None:
    case = await pended(payer)
    with pytest.raises(error):
        await take(payer, sent(case.asked[0].control_number, b.response(), **changes))
    assert await stored(payer, case.id) == case


@pytest.mark.parametrize("body", [None, [], {}, {"resourceType": "Bundle"}, {"resourceType": "Parameters"}])
async def test_what_is_no_parameters_is_refused(payer: Payer, body: Any) -> None:
    with pytest.raises((InvalidResource, MissingElement)):
        await take(payer, body)


async def test_nothing_attached_or_said_twice_is_refused(payer: Payer) -> None:
    number = (await pended(payer)).asked[0].control_number
    with pytest.raises(MissingElement):
        await take(payer, sent(number))
    empty = sent(number)
    empty["parameter"].append({"name": "Attachment", "part": [{"name": "LineItem", "valueString": "1"}]})
    with pytest.raises(MissingElement):
        await take(payer, empty)
    twice = sent(number, b.response())
    twice["parameter"].append(twice["parameter"][0])
    with pytest.raises(InvalidResource):
        await take(payer, twice)
