"""Any Questionnaire: how its items are drawn and how what was posted is read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.demo.posted import Fields, Posted, read_posted
from service.demo.prefill import Prefilled
from service.demo.questions import Item, draw, questions
from service.fhir.build import Json
from service.form.questionnaire import read_form

CONTROL = "http://hl7.org/fhir/StructureDefinition/questionnaire-itemControl"
UNIT_OPTION = "http://hl7.org/fhir/StructureDefinition/questionnaire-unitOption"
HIDDEN = "http://hl7.org/fhir/StructureDefinition/questionnaire-hidden"
RED = {"system": "http://example.org", "code": "red", "display": "Red"}
BLUE = {"system": "http://example.org", "code": "blue", "display": "Blue"}


def form(*items: Json) -> Json:
    return {"resourceType": "Questionnaire", "url": "http://example.org/q", "item": list(items)}


def item(link_id: str, kind: str, **rest: Any) -> Json:
    return {"linkId": link_id, "type": kind, "text": link_id.title(), **rest}


def read(questionnaire: Json, fields: Fields, prefilled: dict[str, Prefilled] | None = None) -> Posted:
    return read_posted(draw(questionnaire, ()), read_form(questionnaire), fields, prefilled or {})


def only(questionnaire: Json, value_sets: tuple[Json, ...] = ()) -> Item:
    return next(questions(draw(questionnaire, value_sets)))


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", {"valueBoolean": True}),
        ("boolean", "false", {"valueBoolean": False}),
        ("date", "2026-02-03", {"valueDate": "2026-02-03"}),
        ("date", "2026-02", {"valueDate": "2026-02"}),
        ("dateTime", "2026-02-03T04:05", {"valueDateTime": "2026-02-03T04:05:00Z"}),
        ("dateTime", "2026-02-03T04:05:00+02:00", {"valueDateTime": "2026-02-03T04:05:00+02:00"}),
        ("time", "09:30", {"valueTime": "09:30:00"}),
        ("integer", "-7", {"valueInteger": -7}),
        ("decimal", "72.50", {"valueDecimal": Decimal("72.50")}),
        ("string", " words ", {"valueString": "words"}),
        ("text", "words", {"valueString": "words"}),
        ("url", "https://example.org", {"valueUri": "https://example.org"}),
        ("quantity", "3", {"valueQuantity": {"value": Decimal(3)}}),
    ],
)
def test_each_type_is_read_as_its_own(kind: str, text: str, value: Json) -> None:
    assert read(form(item("a", kind)), {"answer:a": [text]}).answers == {"a": (value,)}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("boolean", "yes"),
        ("date", "03/02/2026"),
        ("date", "2026-13"),
        ("date", "2026-02-30"),
        ("dateTime", "noon"),
        ("time", "25:00"),
        ("integer", "1.5"),
        ("integer", "2147483648"),
        ("integer", "٣"),
        ("decimal", "NaN"),
        ("decimal", "1e9"),
        ("quantity", "much"),
    ],
)
def test_what_is_not_of_the_type_is_a_fault(kind: str, text: str) -> None:
    posted = read(form(item("a", kind)), {"answer:a": [text]})
    assert posted.answers == {}
    assert set(posted.faults) == {"a"}
    assert posted.holds_back(incomplete=True)


def test_an_open_question_is_no_answer_and_never_no() -> None:
    posted = read(form(item("a", "boolean", required=True), item("b", "boolean")), {"answer:a": [""]})
    assert posted.answers == {}
    assert posted.unanswered == ("a",)
    assert posted.holds_back(incomplete=False)
    assert not posted.holds_back(incomplete=True)


def test_too_long_and_too_many_are_faults() -> None:
    questionnaire = form(item("a", "string", maxLength=3), item("b", "string"))
    assert set(read(questionnaire, {"answer:a": ["long"], "answer:b": ["1", "2"]}).faults) == {"a", "b"}


def test_repeated_answers_are_one_a_line() -> None:
    posted = read(form(item("a", "integer", repeats=True)), {"answer:a": ["1\r\n2\n\n"]})
    assert posted.answers == {"a": ({"valueInteger": 1}, {"valueInteger": 2})}


def test_choices_are_posted_by_number() -> None:
    questionnaire = form(item("a", "choice", answerOption=[{"valueCoding": RED}, {"valueCoding": BLUE}]))
    assert [option.label for option in only(questionnaire).options] == ["Red", "Blue"]
    assert read(questionnaire, {"answer:a": ["1"]}).answers == {"a": ({"valueCoding": BLUE},)}
    for wrong in ("2", "-1", "blue", "²"):
        assert set(read(questionnaire, {"answer:a": [wrong]}).faults) == {"a"}
    assert set(read(questionnaire, {"answer:a": ["0", "1"]}).faults) == {"a"}


def test_choices_come_from_value_sets_too() -> None:
    expanded = {"url": "http://example.org/vs", "expansion": {"contains": [RED, BLUE]}}
    asked = only(form(item("a", "choice", answerValueSet="http://example.org/vs|1.0")), (expanded,))
    assert [option.value for option in asked.options] == [{"valueCoding": RED}, {"valueCoding": BLUE}]
    contained = {**form(item("a", "choice", answerValueSet="#here")), "contained": [{**expanded, "id": "here"}]}
    assert len(only(contained).options) == 2


def test_an_open_choice_takes_words() -> None:
    questionnaire = form(item("a", "open-choice", answerOption=[{"valueCoding": RED}]))
    assert read(questionnaire, {"other:a": ["Green"]}).answers == {"a": ({"valueString": "Green"},)}


def test_a_quantity_takes_its_unit() -> None:
    unit = {"url": UNIT_OPTION, "valueCoding": {"system": "http://unitsofmeasure.org", "code": "kg", "display": "kg"}}
    questionnaire = form(item("a", "quantity", extension=[unit]))
    weighed = read(questionnaire, {"answer:a": ["72.5"], "unit:a": ["0"]})
    expected = {"value": Decimal("72.5"), "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}
    assert weighed.answers == {"a": ({"valueQuantity": expected},)}
    assert set(read(questionnaire, {"answer:a": ["72.5"]}).faults) == {"a"}


def test_answers_to_what_is_not_asked_are_left_out() -> None:
    when = [{"question": "a", "operator": "=", "answerBoolean": True}]
    questionnaire = form(item("a", "boolean"), item("b", "boolean", enableWhen=when, required=True))
    assert set(read(questionnaire, {"answer:a": ["false"], "answer:b": ["true"]}).answers) == {"a"}
    assert read(questionnaire, {"answer:a": ["false"], "answer:b": ["nonsense"]}).faults == {}
    assert read(questionnaire, {"answer:a": ["false"]}).unanswered == ()
    assert read(questionnaire, {"answer:a": ["true"]}).unanswered == ("b",)
    assert only(form(item("b", "boolean", enableWhen=when), item("a", "boolean"))).depends == "“A” is Yes"


def test_read_only_and_hidden_questions_keep_what_was_filled() -> None:
    questionnaire = form(
        item("a", "string", readOnly=True),
        item("b", "string", extension=[{"url": HIDDEN, "valueBoolean": True}]),
    )
    before = {name: Prefilled(({"valueString": name},), "auto-client") for name in ("a", "b")}
    posted = read(questionnaire, {"answer:a": ["changed"], "answer:b": ["changed"]}, before)
    assert posted.answers == {"a": ({"valueString": "a"},), "b": ({"valueString": "b"},)}


def test_help_stands_with_its_question() -> None:
    control = {"url": CONTROL, "valueCodeableConcept": {"coding": [{"code": "help"}]}}
    helped = item("a", "boolean", item=[item("h", "display", extension=[control]), item("d", "display")])
    asked = only(form(helped))
    assert asked.help == ("H",)
    assert [child.link_id for child in asked.children] == ["d"]


def test_kinds_that_cannot_be_drawn_are_not_asked_for() -> None:
    posted = read(form(item("a", "attachment", required=True)), {"answer:a": ["x"]})
    assert (posted.answers, posted.unanswered) == ({}, ())
