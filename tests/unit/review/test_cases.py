"""The case page, and what is done from it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from service.policy.case import Case, CaseId
from service.policy.decision import Clinician, Outcome, Reviewer
from service.ports import CASE_CHANGED, CASE_DECIDED, Attachment, CaseChange
from tests.unit.pas import bundles as b
from tests.unit.review.conftest import NOW, NPI, SPECIALTY, Console, Form, send, submit, words

REASON = "criterion:es-sclc"


async def outcome_of(console: Console, case: Case) -> Outcome:
    return (await console.case(case.id)).outcome


async def last_audit(console: Console, case: Case) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((await console.store.audit(case.id))[-1].document)
    return document


async def test_the_page_shows_criteria_in_the_payers_words_with_evidence_and_its_origin(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    assert "Not met Extensive-stage small cell lung cancer (ES-SCLC) 5.21.223 p.2" in page
    assert "may be considered investigational for all other indications" in page
    assert "Unknown Patient has had disease progression on or after platinum-based chemotherapy" in page
    assert "filled from the chart, then changed by a person" in page
    assert "1958-02-03" in page
    assert "M000123" in page
    assert "NPI 1245319599" in page
    assert "72 h" not in page
    assert "3 d 0 h left" in page


async def test_a_conflict_between_sources_is_marked(console: Console) -> None:
    bundle = b.bundle({b.PATIENT: b.patient() | {"birthDate": "1957-01-01"}})
    case = await console.add_case(bundle)
    async with console.browser("rita") as browser:
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    assert "In conflict" in page
    assert "1957-01-01" in page


async def test_what_came_from_outside_is_never_markup(console: Console) -> None:
    nasty = "<script>alert(1)</script>"
    patient = b.patient() | {"name": [{"family": nasty}]}
    case = await console.add_case(b.bundle({b.PATIENT: patient, b.RESPONSE: b.response({"es-sclc": False})}))
    async with console.browser("rita") as browser:
        page = (await browser.get(f"/review/cases/{case.id}")).text
    assert nasty not in page
    assert "&lt;script&gt;" in page


async def test_claim_and_release_and_the_second_is_told_who_has_it(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as rita, console.browser("rob") as rob:
        stale = Form((await rob.get(f"/review/cases/{case.id}")).text)
        assert (await send(rita, case.id, "claim")).status_code == 303
        told = await submit(rob, stale, f"/review/cases/{case.id}/claim")
        assert told.status_code == 409
        assert "rita has this case" in told.text
        assert (await console.case(case.id)).held_by == "rita"
        assert (await send(rob, case.id, "take-over")).status_code == 303
        assert (await console.case(case.id)).held_by == "rob"
        assert (await send(rob, case.id, "release")).status_code == 303
    assert (await console.case(case.id)).held_by is None
    kinds = [json.loads(entry.document)["kind"] for entry in await console.store.audit(case.id)]
    assert kinds == ["determination", "claim", "take-over", "release"]


async def test_an_approval_is_as_requested_for_as_long_as_the_policy_says(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        assert (await send(browser, case.id, "decide", verdict_1="approve")).status_code == 303
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    decided = await console.case(case.id)
    (line,) = decided.lines
    assert decided.outcome is Outcome.APPROVED
    assert line.determination.decision.by == Reviewer("Rita Reviewer")
    assert line.determination.period is not None
    assert (line.determination.period.start, line.determination.period.end) == (date(2026, 9, 8), date(2027, 9, 7))
    assert line.authorization_number is not None
    assert line.authorization_number in page
    assert "Reviewed by Rita Reviewer (rita, reviewer)" in page
    assert [(event.kind, event.case_id) for event in console.store.events] == [(CASE_DECIDED, case.id)]


async def test_fewer_units_and_other_dates_are_granted(console: Console) -> None:
    case = await console.add_case()
    changes = {"units_1": "41", "from_1": "2026-09-10", "to_1": "2026-12-31", "change_reason_1": "Two cycles first."}
    async with console.browser("rita") as browser:
        assert (await send(browser, case.id, "decide", verdict_1="modify", **changes)).status_code == 303
    (line,) = (await console.case(case.id)).lines
    assert line.determination.outcome is Outcome.MODIFIED
    granted = line.determination.granted
    assert granted is not None
    assert (granted.quantity, granted.serviced) == (Decimal(41), line.determination.period)
    assert line.determination.notes == ("Two cycles first.",)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "Nothing differs"),
        ({"units_1": "9999"}, "At most"),
        ({"units_1": "-1"}, "positive number"),
        ({"units_1": "NaN"}, "positive number"),
        ({"units_1": "1e99999"}, "positive number"),
        ({"units_1": "many"}, "positive number"),
        ({"to_1": "2026-01-01"}, "comes before"),
        ({"to_1": "soon"}, "YYYY-MM-DD"),
        ({"from_1": ""}, "first day"),
        ({"units_1": "3", "change_reason_1": ""}, "Say why"),
        ({"units_1": "3", "change_reason_1": "x" * 2001}, "at most 2000"),
    ],
)
async def test_a_change_that_is_none_or_nonsense_is_said_and_kept(
    console: Console, changes: dict[str, str], said: str
) -> None:
    case = await console.add_case()
    fields = {"verdict_1": "modify", "change_reason_1": "Two cycles first."} | changes
    async with console.browser("rita") as browser:
        answer = await send(browser, case.id, "decide", **fields)
    assert answer.status_code == 422
    assert said in answer.text
    kept = Form(answer.text).forms[f"/review/cases/{case.id}/decide"]
    assert kept["verdict-1"] == "modify"
    assert kept["change-reason-1"] == fields["change_reason_1"]
    assert await console.case(case.id) == case


async def test_a_clinician_denies_in_the_policys_words(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("cora") as browser:
        sent = await send(browser, case.id, "decide", verdict_1="deny", reason_1=REASON, note_1="Send the report.")
        assert sent.status_code == 303
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    (line,) = (await console.case(case.id)).lines
    decision = line.determination.decision
    assert decision.outcome is Outcome.DENIED
    assert decision.by == Clinician("Cora Clinician", NPI, SPECIALTY)
    assert decision.reasons == ("Not met: Extensive-stage small cell lung cancer (ES-SCLC) (5.21.223 p.2).",)
    assert line.determination.notes[-1] == "Send the report."
    assert f"NPI {NPI}, specialty {SPECIALTY}" in page
    audit = await last_audit(console, case)
    assert audit["actor"] == {
        "login": "cora", "name": "Cora Clinician", "role": "clinician", "npi": NPI, "specialty": SPECIALTY,
    }  # fmt: skip
    assert (audit["kind"], audit["revision"], audit["lines"][0]["reason"]) == ("review", 2, REASON)


async def test_investigational_is_a_reason_with_the_policys_sentence(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("cora") as browser:
        await send(browser, case.id, "decide", verdict_1="deny", reason_1="sentence:es-sclc")
    (line,) = (await console.case(case.id)).lines
    assert "may be considered investigational for all other indications" in line.determination.decision.reasons[0]


@pytest.mark.parametrize(
    "changes",
    [{}, {"reason_1": "other"}, {"reason_1": "other", "reason_text_1": "  "}, {"reason_1": "criterion:none"}],
)
async def test_a_denial_without_a_specific_reason_is_not_recorded(console: Console, changes: dict[str, str]) -> None:
    case = await console.add_case()
    async with console.browser("cora") as browser:
        assert (await send(browser, case.id, "decide", verdict_1="deny", **changes)).status_code == 422
    assert await console.case(case.id) == case


async def test_a_denial_by_somebody_else_is_refused_and_not_offered(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        assert 'value="deny"' not in (await browser.get(f"/review/cases/{case.id}")).text
        sent = await send(browser, case.id, "decide", verdict_1="deny", reason_1=REASON)
    assert sent.status_code == 403
    assert await console.case(case.id) == case


async def test_an_auditor_sees_and_decides_nothing(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("ada") as browser, console.browser("rita") as rita:
        page = await browser.get(f"/review/cases/{case.id}")
        assert page.status_code == 200
        own = Form(page.text)
        assert list(own.forms) == ["/review/sign-out"]
        theirs = Form((await rita.get(f"/review/cases/{case.id}")).text)
        fields = theirs.forms[f"/review/cases/{case.id}/decide"] | own.forms["/review/sign-out"]
        for action in ("claim", "decide"):
            address = f"/review/cases/{case.id}/{action}"
            assert (await browser.post(address, data=fields | {"verdict-1": "approve"})).status_code == 403
        assert (await browser.get("/review/report")).status_code == 200
    assert await console.case(case.id) == case


async def test_asking_keeps_the_line_open_and_names_what_is_asked(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        sent = await send(
            browser, case.id, "decide", verdict_1="ask", question_1="The pathology report.", kind_1="11526-1"
        )
        assert sent.status_code == 303
        await send(browser, case.id, "decide", verdict_1="ask", question_1="And the form.", kind_1="form")
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
    asked = await console.case(case.id)
    assert asked.outcome is Outcome.PENDED
    first, second = asked.asked
    assert (first.loinc, first.link_ids, first.due) == ("11526-1", (), case.due)
    assert (second.loinc, second.link_ids) == (None, ("progression-on-platinum",))
    assert first.control_number != second.control_number
    assert f"The pathology report. LOINC 11526-1 {first.control_number}" in page
    assert {event.kind for event in console.store.events} == {CASE_CHANGED}


@pytest.mark.parametrize(
    "changes", [{"kind_1": "11526-1"}, {"question_1": "What?"}, {"question_1": "What?", "kind_1": "0000-0"}]
)
async def test_a_question_needs_words_and_a_kind_of_answer(console: Console, changes: dict[str, str]) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        assert (await send(browser, case.id, "decide", verdict_1="ask", **changes)).status_code == 422
    assert await console.case(case.id) == case


async def test_an_answer_is_asked_for_in_the_future_even_when_the_case_is_overdue(console: Console) -> None:
    case = await console.add_case(due=NOW - timedelta(hours=1))
    async with console.browser("rita") as browser:
        await send(browser, case.id, "decide", verdict_1="ask", question_1="The report.", kind_1="11526-1")
    (asked,) = (await console.case(case.id)).asked
    assert asked.due > NOW


@pytest.mark.parametrize("verdict", ["", "sing"])
async def test_nothing_chosen_is_said(console: Console, verdict: str) -> None:
    case = await console.add_case()
    async with console.browser("rita") as browser:
        assert (await send(browser, case.id, "decide", verdict_1=verdict)).status_code == 422
    assert await console.case(case.id) == case


async def test_of_two_who_decide_at_once_the_second_is_told_and_nothing_is_lost(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as rita, console.browser("cora") as cora:
        typed = Form((await cora.get(f"/review/cases/{case.id}")).text)
        assert (await send(rita, case.id, "decide", verdict_1="approve")).status_code == 303
        told = await submit(
            cora, typed, f"/review/cases/{case.id}/decide", verdict_1="deny", reason_1=REASON, note_1="My long note."
        )
    assert told.status_code == 409
    assert "The case has changed since you opened it" in told.text
    assert "My long note." in told.text
    assert await outcome_of(console, case) is Outcome.APPROVED
    assert len(await console.store.audit(case.id)) == 2


async def test_when_the_case_still_waits_what_was_typed_stands_in_the_form(console: Console) -> None:
    case = await console.add_case()
    async with console.browser("rita") as rita:
        typed = Form((await rita.get(f"/review/cases/{case.id}")).text)
        await console.store.save(
            CaseChange(replace(case, linked=(CaseId("other"),)), case.revision, {"kind": "update"})
        )
        address = f"/review/cases/{case.id}/decide"
        changes = {"verdict_1": "ask", "question_1": "The report, please.", "kind_1": "11526-1"}
        told = await submit(rita, typed, address, **changes)
        assert told.status_code == 409
        again = Form(told.text)
        assert again.forms[address] | {"revision": "1"} == typed.forms[address] | {
            "verdict-1": "ask", "question-1": "The report, please.", "kind-1": "11526-1",
        }  # fmt: skip
        assert (await submit(rita, again, address)).status_code == 303
    assert len((await console.case(case.id)).asked) == 1


async def test_a_save_that_comes_between_reading_and_saving_is_told_too(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = await console.add_case()
    save = console.store.save

    async def beaten(change: CaseChange) -> Case:
        monkeypatch.setattr(console.store, "save", save)
        await save(CaseChange(replace(case, held_by="rob"), case.revision, {"kind": "claim"}))
        return await save(change)

    async with console.browser("rita") as rita:
        monkeypatch.setattr(console.store, "save", beaten)
        told = await send(rita, case.id, "decide", verdict_1="approve")
    assert told.status_code == 409
    assert await outcome_of(console, case) is Outcome.PENDED


async def test_each_line_is_decided_by_itself(console: Console) -> None:
    other = b.item(2, code="99212")
    case = await console.add_case(
        b.bundle({b.CLAIM: b.claim(b.item(1, quantity={"value": 0, "unit": "unit"}), other)})
    )
    async with console.browser("cora") as browser:
        page = words((await browser.get(f"/review/cases/{case.id}")).text)
        assert "No criteria of a policy were evaluated for this line." in page
        assert "No loaded policy names this service" in page
        await send(browser, case.id, "decide", verdict_1="approve")
        first = await console.case(case.id)
        assert (first.outcome, first.held_by) == (Outcome.PENDED, "cora")
        sent = await send(
            browser, case.id, "decide", verdict_2="deny", reason_2="other", reason_text_2="Billed with the visit."
        )
        assert sent.status_code == 303
    outcomes = [line.determination.outcome for line in (await console.case(case.id)).lines]
    assert outcomes == [Outcome.APPROVED, Outcome.DENIED]


async def test_documents_are_text_or_a_download_that_no_browser_renders(console: Console) -> None:
    page = b"<html><script>alert(1)</script></html>"
    reference = {
        "resourceType": "DocumentReference",
        "status": "current",
        "description": "Pathology",
        "content": [
            {"attachment": {"contentType": "text/html", "data": base64.b64encode(page).decode(), "title": 'a"\r\nb'}}
        ],
    }
    url = "urn:uuid:70000000-0000-4000-8000-000000000001"
    claim = b.claim()
    number = len(claim["supportingInfo"]) + 1
    claim["supportingInfo"].append(
        claim["supportingInfo"][0] | {"sequence": number, "valueReference": {"reference": url}}
    )
    case = await console.add_case(
        b.bundle({b.CLAIM: claim, b.RESPONSE: b.response({"es-sclc": False}), url: reference})
    )
    await console.store.attach(Attachment("1", case.id, "AC-1", 1, NOW, b"\x00\x01"))
    content = {"name": "Content", "resource": reference | {"description": "A later scan"}}
    sent = {"resourceType": "Parameters", "parameter": [{"name": "Attachment", "part": [content]}]}
    await console.store.attach(Attachment("2", case.id, "AC-2", 1, NOW, json.dumps(sent).encode()))
    async with console.browser("rita") as browser:
        shown = (await browser.get(f"/review/cases/{case.id}")).text
        found = [await browser.get(f"/review/cases/{case.id}/documents/{n}") for n in range(1, 8)]
    assert "es-sclc: No" in shown
    assert "Sent for AC-2: A later scan" in shown
    contents = [answer.content for answer in found if answer.status_code == 200]
    assert contents.count(page) == 2
    assert b"\x00\x01" in contents
    assert found[-1].status_code == 404
    for answer in found[:-1]:
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["none", "none/documents/1", "%00", "../../x"])
async def test_what_is_not_there_is_not_found(console: Console, path: str) -> None:
    async with console.browser("rita") as browser:
        assert (await browser.get(f"/review/cases/{path}")).status_code in (303, 404)


async def test_linked_cases_and_the_history_are_shown(console: Console) -> None:
    case = await console.add_case(linked=(CaseId("other-case"),), replaces=CaseId("older-case"))
    async with console.browser("rita") as browser:
        page = (await browser.get(f"/review/cases/{case.id}")).text
    assert 'href="/review/cases/other-case"' in page
    assert 'href="/review/cases/older-case"' in page
    assert "Line 1: Waiting under policy imdelltra 2026-04-01" in page
    assert "the chain is whole" in page
