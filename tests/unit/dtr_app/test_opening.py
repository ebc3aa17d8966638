"""A launch becomes a form: filled from the chart, a draft taken up, an older form's draft closed, a form picked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.dtr.app.content import about
from service.dtr.app.display import display_items
from service.dtr.app.opening import Forms, Opened
from service.dtr.app.stamping import origins
from service.errors import MissingElement, PrefetchMissing
from tests.unit.dtr_app.clinic import ORDER, Clinic

FORM = "https://payer.example.org/fhir/Questionnaire/imdelltra-initial"
CONTEXT = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/qr-context"


def values(items: Any) -> dict[str, Any]:
    """The value of each answered question."""
    found: dict[str, Any] = {}
    for item in items:
        for answer in item.get("answer", ()):
            found[item["linkId"]] = next(value for name, value in answer.items() if name.startswith("value"))
        found |= values(item.get("item", ()))
    return found


def a_draft(opened: Opened, **elements: Any) -> dict[str, Any]:
    """A draft of the opened form as an EHR holds it."""
    return {
        **opened.skeleton,
        "id": "d1",
        "status": "in-progress",
        "authored": "2026-11-30T09:00:00Z",
        "author": {"display": "A colleague"},
        "item": list(opened.items),
        **elements,
    }


async def test_a_chart_fills_the_form(clinic: Clinic) -> None:
    opened = await clinic.open()
    assert values(opened.items)["es-sclc"] is True
    assert set(origins(opened.items).values()) == {"auto-client"}
    assert (opened.author["display"], opened.draft, opened.notices) == ("Dr. Amara Okafor", None, ())


async def test_records_that_the_ehr_does_not_give_are_told_of(clinic: Clinic) -> None:
    clinic.silent |= {"Observation"}
    opened = await clinic.open()
    assert any("Observation" in notice for notice in opened.notices)


async def test_a_draft_is_taken_up_as_it_was_left(clinic: Clinic) -> None:
    first = await clinic.open()
    clinic.add(a_draft(first, item=list(first.items[:1])))
    opened = await clinic.open()
    assert opened.draft is not None
    assert opened.items == first.items[:1]
    assert opened.notices == ("This is the draft that A colleague saved in the EHR on 2026-11-30.",)


async def test_a_draft_for_another_order_is_left_alone(clinic: Clinic) -> None:
    draft = a_draft(await clinic.open())
    for held in draft["extension"]:
        if held["url"] == CONTEXT and held["valueReference"].get("reference", "").endswith(ORDER):
            held["valueReference"] = {"reference": "MedicationRequest/another"}
    clinic.add(draft)
    assert (await clinic.open()).draft is None


async def test_a_draft_of_an_older_form_is_closed_and_told_of(clinic: Clinic) -> None:
    first = await clinic.open()
    clinic.add(a_draft(first, questionnaire=f"{FORM}|0.1.0"))
    opened = await clinic.open()
    assert opened.draft is None
    assert opened.items == first.items
    assert "no longer in use" in opened.notices[0]
    assert clinic.store.read("QuestionnaireResponse", "d1")["status"] == "stopped"


async def test_a_partial_date_in_a_draft_is_left_for_the_user_to_complete(clinic: Clinic) -> None:
    first = await clinic.open()
    text = json.dumps(first.items).replace(values(first.items)["platinum-start"], "2026-03")
    clinic.add(a_draft(first, item=json.loads(text)))
    opened = await clinic.open()
    assert values(opened.items)["platinum-start"] == "2026-03"
    shown = display_items(opened.questionnaire, opened.items)
    assert "platinum-start" not in values(shown)
    told = {each.link_id: each for each in about(opened, (), frozenset(origins(opened.items)))}
    assert told["platinum-start"].remark == (
        "The draft says 2026-03, and so will the request. Type the full date if you know it."
    )


async def test_of_several_forms_the_user_picks(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    opener = clinic.opener()
    other = {"resourceType": "Questionnaire", "id": "other", "title": "Another form", "status": "active"}
    asked = type(opener.packager).answer

    async def two(*arguments: Any) -> Any:
        answer = await asked(*arguments)
        second = [
            {"resource": other},
            {"resource": {"resourceType": "QuestionnaireResponse", "questionnaire": "https://x.example.org/other|1"}},
        ]
        bundles = [answer] if answer["resourceType"] == "Bundle" else [p["resource"] for p in answer["parameter"][:1]]
        bundles.append({"resourceType": "Bundle", "entry": second})
        return {"resourceType": "Parameters", "parameter": [{"resource": bundle} for bundle in bundles]}

    monkeypatch.setattr(type(opener.packager), "answer", two)
    offered = await clinic.launch()
    assert isinstance(offered, Forms)
    assert [title for _, title in offered.offered] == ["Imdelltra (tarlatamab-dlle): prior approval", "Another form"]
    picked = await clinic.open(questionnaire=offered.offered[0][0])
    assert picked.questionnaire["url"] == FORM


async def test_an_order_that_needs_no_form_says_so_in_the_payers_words(clinic: Clinic) -> None:
    clinic.change(ORDER, medicationCodeableConcept={"text": "water"}, extension=None)
    with pytest.raises(PrefetchMissing):
        await clinic.open()


async def test_a_launch_without_an_order_asks_for_one(clinic: Clinic) -> None:
    with pytest.raises(MissingElement):
        await clinic.open(order=None)


async def test_documents_of_the_chart_are_offered_and_void_ones_are_not(clinic: Clinic) -> None:
    content = [{"attachment": {"contentType": "text/plain", "data": "R3Jvd24u"}}]
    document = {"resourceType": "DocumentReference", "content": content, "date": "2026-11-02T08:00:00Z"}
    clinic.add({**document, "id": "a", "status": "current", "description": "Report"})
    clinic.add({**document, "id": "b", "status": "entered-in-error", "description": "No"})
    clinic.add({"resourceType": "DiagnosticReport", "id": "c", "status": "final", "code": {"text": "Pathology"}})
    opened = await clinic.open()
    assert [(offer.title, offer.when) for offer in opened.offers] == [("Report", "2026-11-02"), ("Pathology", "")]
