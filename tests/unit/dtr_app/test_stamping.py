"""Origins: told by content against what stood there before."""

from __future__ import annotations

from typing import Any

import pytest

from service.dtr.app.stamping import origins, partial_dates, stamped
from service.fhir.canonical import DTR_INFORMATION_ORIGIN

DOCTOR = {"reference": "Practitioner/doctor"}
NURSE = {"reference": "Practitioner/nurse"}
FORM = {
    "item": [
        {
            "linkId": "group",
            "type": "group",
            "text": "Group",
            "item": [
                {"linkId": "agent", "type": "string", "text": "Agent"},
                {"linkId": "sure", "type": "boolean", "text": "Sure?"},
                {"linkId": "sites", "type": "string", "text": "Sites", "repeats": True},
            ],
        },
        {
            "linkId": "line",
            "type": "group",
            "text": "Line",
            "repeats": True,
            "item": [
                {"linkId": "drug", "type": "string", "text": "Drug"},
                {"linkId": "cycles", "type": "integer", "text": "Cycles"},
            ],
        },
    ]
}


def origin(code: str, author: dict[str, str] | None = None) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"url": "source", "valueCode": code}]
    if author:
        parts.append({"url": "author", "extension": [{"url": "practitioner", "valueReference": author}]})
    return [{"url": DTR_INFORMATION_ORIGIN, "extension": parts}]


def said(link_id: str, *values: Any, of: str | None = None) -> dict[str, Any]:
    element = {bool: "valueBoolean", int: "valueInteger", str: "valueString"}
    answers: list[dict[str, Any]] = [{element[type(value)]: value} for value in values]
    if of:
        answers = [{"extension": origin(of), **answer} for answer in answers]
    return {"linkId": link_id, "answer": answers}


def group(*items: dict[str, Any], link_id: str = "group") -> dict[str, Any]:
    return {"linkId": link_id, "item": list(items)}


def test_what_nobody_changed_keeps_its_origin_and_what_was_added_is_manual() -> None:
    before = [group(said("agent", "carboplatin", of="auto-client"))]
    written = stamped(FORM, before, [group(said("agent", "carboplatin"), said("sure", True))], DOCTOR)
    assert origins(written) == {"agent": "auto-client", "sure": "manual"}
    assert written[0]["item"][0]["answer"][0]["extension"] == origin("auto-client")
    assert written[0]["item"][1]["answer"][0]["extension"] == origin("manual", DOCTOR)


def test_a_change_of_what_a_machine_said_is_an_override_with_its_author() -> None:
    before = [group(said("agent", "carboplatin", of="auto-server"))]
    written = stamped(FORM, before, [group(said("agent", "cisplatin"))], NURSE)
    assert written[0]["item"][0]["answer"] == [{"extension": origin("override", NURSE), "valueString": "cisplatin"}]


def test_a_colleagues_word_stays_theirs_until_it_is_changed() -> None:
    before = stamped(FORM, [], [group(said("agent", "cisplatin"), said("sure", True))], DOCTOR)
    written = stamped(FORM, before, [group(said("agent", "cisplatin"), said("sure", False))], NURSE)
    agent, sure = written[0]["item"]
    assert agent["answer"][0]["extension"] == origin("manual", DOCTOR)
    assert sure["answer"][0]["extension"] == origin("manual", NURSE)


def test_an_override_that_is_changed_again_is_an_override() -> None:
    first = [group(said("agent", "carboplatin", of="auto-client"))]
    second = stamped(FORM, first, [group(said("agent", "cisplatin"))], DOCTOR)
    third = stamped(FORM, second, [group(said("agent", "oxaliplatin"))], NURSE)
    assert origins(third) == {"agent": "override"}


def test_a_row_taken_out_does_not_mislabel_the_next() -> None:
    before = [
        group(said("drug", "carboplatin", of="auto-client"), said("cycles", 4, of="auto-client"), link_id="line"),
        group(said("drug", "etoposide", of="auto-client"), said("cycles", 2, of="auto-client"), link_id="line"),
    ]
    posted = [
        group(said("drug", "etoposide"), said("cycles", 2), link_id="line"),
        group(said("drug", "lurbinectedin"), said("cycles", 1), link_id="line"),
    ]
    kept, added = stamped(FORM, before, posted, DOCTOR)
    assert origins([kept]) == {"drug": "auto-client", "cycles": "auto-client"}
    assert origins([added]) == {"drug": "manual", "cycles": "manual"}


def test_of_several_answers_each_is_matched_by_what_it_says() -> None:
    before = [group(said("sites", "liver", "bone", of="auto-client"))]
    written = stamped(FORM, before, [group(said("sites", "bone", "brain"))], DOCTOR)
    codes = [a["extension"][0]["extension"][0]["valueCode"] for a in written[0]["item"][0]["answer"]]
    assert codes == ["auto-client", "override"]


def test_only_values_of_the_forms_own_questions_are_taken_from_the_browser() -> None:
    forged = {"extension": origin("auto-client"), "valueBoolean": True, "item": [{"linkId": "x"}]}
    posted = [group({"linkId": "sure", "text": "<b>", "answer": [forged]}, said("other", True)), "nonsense", None]
    written = stamped(FORM, [], posted, DOCTOR)
    answer = {"extension": origin("manual", DOCTOR), "valueBoolean": True}
    assert written == [
        {"linkId": "group", "text": "Group", "item": [{"linkId": "sure", "text": "Sure?", "answer": [answer]}]}
    ]


DATED = {
    "item": [
        {
            "linkId": "history",
            "type": "group",
            "text": "History",
            "item": [{"linkId": "start", "type": "date", "text": "Start"}, {"linkId": "sure", "type": "boolean"}],
        }
    ]
}


def dated(text: str) -> dict[str, Any]:
    return {"linkId": "start", "answer": [{"extension": origin("auto-client"), "valueDate": text}]}


def in_history(*items: dict[str, Any]) -> list[dict[str, Any]]:
    return [group(*items, link_id="history")]


@pytest.mark.parametrize("posted", [[], in_history(said("sure", True))], ids=["group unsent", "group sent"])
def test_a_date_without_its_day_stays_where_nothing_takes_its_place(posted: list[dict[str, Any]]) -> None:
    written = stamped(DATED, in_history(dated("2026-03")), posted, DOCTOR)
    assert partial_dates(written) == {"start": "2026-03"}
    assert origins(written)["start"] == "auto-client"


def test_a_whole_date_that_is_gone_stays_gone() -> None:
    assert stamped(DATED, in_history(dated("2026-03-01")), [], DOCTOR) == []


def test_a_day_takes_the_place_of_a_month_as_an_override() -> None:
    posted = in_history({"linkId": "start", "answer": [{"valueDate": "2026-03-09"}]})
    written = stamped(DATED, in_history(dated("2026-03")), posted, DOCTOR)
    assert (partial_dates(written), origins(written)) == ({}, {"start": "override"})


def test_a_month_that_is_left_out_is_gone() -> None:
    assert stamped(DATED, in_history(dated("2026-03")), [], DOCTOR, {"start"}) == []
