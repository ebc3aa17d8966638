"""What counts as an answer: doubt is unknown, never an error."""

from __future__ import annotations

from typing import Any

import pytest

from service.fhir.build import extension, nested_extension
from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.form.answers import Reading, merge, read_answers
from service.form.questionnaire import read_form
from service.policy.model import LinkId

FORM = read_form(
    {
        "url": "https://payer.example.org/fhir/Questionnaire/f",
        "version": "1",
        "item": [
            {
                "linkId": "group",
                "type": "group",
                "item": [
                    {"linkId": "a", "type": "boolean", "text": "A?"},
                    {"linkId": "d", "type": "date", "text": "D?"},
                ],
            },
            {
                "linkId": "b",
                "type": "boolean",
                "text": "B?",
                "enableWhen": [{"question": "a", "operator": "=", "answerBoolean": True}],
            },
            {
                "linkId": "c",
                "type": "boolean",
                "text": "C?",
                "enableWhen": [{"question": "b", "operator": "exists", "answerBoolean": True}],
            },
            {"linkId": "many", "type": "string", "text": "Many?", "repeats": True},
        ],
    }
)
A, B, C, D, MANY = map(LinkId, ("a", "b", "c", "d", "many"))


def item(link_id: str, *answers: dict[str, Any], nested: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"linkId": link_id, "answer": list(answers)} if answers else {"linkId": link_id}
    return found | ({"item": nested} if nested else {})


def yes(value: bool = True) -> dict[str, Any]:
    return {"valueBoolean": value}


def read(*items: dict[str, Any], attested: frozenset[LinkId] = frozenset()) -> Reading:
    return read_answers(FORM, {"resourceType": "QuestionnaireResponse", "item": list(items)}, attested)


def test_answers_count_at_any_depth() -> None:
    assert read(item("group", nested=[item("a", yes())])).answers == {A: True}
    assert read(item("a", yes())).answers == {A: True}
    below_an_answer = item("a", {**yes(), "item": [item("d", {"valueDate": "2026-01-02"})]})
    assert read(below_an_answer).answers == {A: True, D: "2026-01-02"}


def test_nothing_said_is_missing() -> None:
    reading = read()
    assert reading.missing == {A, D, MANY}
    assert read(item("a"), item("d", {})).missing == {A, D, MANY}


@pytest.mark.parametrize(
    "items",
    [
        (item("a", yes()), item("a", yes())),
        (item("a", yes()), item("group", nested=[item("a", yes(False))])),
        (item("a", yes(), yes(False)),),
        (item("a", {"valueString": "yes"}),),
        (item("a", {"valueBoolean": True, "valueString": "yes"}),),
        (item("a"), item("a")),
    ],
    ids=["repeated", "repeated elsewhere", "several answers", "wrong type", "two values", "repeated and empty"],
)
def test_doubt_is_neither_an_answer_nor_missing(items: tuple[dict[str, Any], ...]) -> None:
    reading = read(*items)
    assert A not in reading.answers
    assert A not in reading.missing
    assert reading.doubts[A]


def test_the_doubt_lists_what_was_found() -> None:
    assert [e.shown for e in read(item("a", yes(), yes(False))).doubts[A]] == ["Yes", "No"]


def test_a_question_that_repeats_takes_several_answers() -> None:
    assert read(item("many", {"valueString": "x"}, {"valueString": "y"})).answers == {MANY: ["x", "y"]}


def test_an_answer_to_a_disabled_question_is_ignored_with_a_remark() -> None:
    reading = read(item("a", yes(False)), item("b", yes()), item("c", yes()))
    assert reading.answers == {A: False}
    assert sum("was ignored" in remark for remark in reading.remarks) == 2
    assert not reading.missing & {B, C}


def test_a_question_that_hangs_on_a_doubted_one_is_not_asked() -> None:
    reading = read(item("a", yes(), yes()), item("b", yes()))
    assert B not in reading.answers
    assert B not in reading.missing


def test_an_unknown_question_is_ignored_with_a_remark() -> None:
    reading = read(item("a", yes()), item("secret-name-of-a-patient", yes()))
    assert reading.answers == {A: True}
    assert len(reading.remarks) == 1
    assert "secret" not in reading.remarks[0]


@pytest.mark.parametrize("source", ["auto", "auto-client", "auto-server"])
def test_the_prescribers_word_cannot_be_filled_automatically(source: str) -> None:
    origin = nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=source))
    automatic = item("a", {"extension": [origin], **yes()})
    assert read(automatic).answers == {A: True}
    reading = read(automatic, attested=frozenset({A}))
    assert A in reading.missing
    assert any("own answer" in remark for remark in reading.remarks)


@pytest.mark.parametrize("source", ["manual", "override"])
def test_the_prescribers_word_counts_when_a_person_gave_it(source: str) -> None:
    origin = nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=source))
    assert read(item("a", {"extension": [origin], **yes()}), attested=frozenset({A})).answers == {A: True}
    assert read(item("a", yes()), attested=frozenset({A})).answers == {A: True}


def test_responses_that_agree_are_one_and_responses_that_differ_are_in_doubt() -> None:
    agreed = merge([read(item("a", yes())), read(item("a", yes()), item("d", {"valueDate": "2026-01-02"}))])
    assert agreed.answers == {A: True, D: "2026-01-02"}
    assert A not in agreed.missing
    differing = merge([read(item("a", yes())), read(item("a", yes(False)))])
    assert A not in differing.answers
    assert [e.shown for e in differing.doubts[A]] == ["Yes", "No"]
    doubted = merge([read(item("a", yes())), read(item("a", {"valueString": "?"}))])
    assert A in doubted.doubts
