"""One validator for every response: what is wrong with it, with which question, and where."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.fhir.build import extension, nested_extension
from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.form.answers import read_answers
from service.form.questionnaire import read_form
from service.form.validate import ERROR, WARNING, AnswerFinding, validate
from service.policy.model import LinkId

SET = "https://payer.example.org/fhir/ValueSet/sides"
LEFT = {"system": "urn:sides", "code": "L", "display": "Left"}
VALUE_SET = {
    "resourceType": "ValueSet",
    "id": "sides",
    "url": SET,
    "version": "2",
    "expansion": {
        "contains": [
            {"abstract": True, "system": "urn:sides", "code": "any", "contains": [LEFT]},
            {"system": "urn:sides", "code": "gone", "inactive": True},
        ]
    },
}
QUESTIONNAIRE: dict[str, Any] = {
    "url": "https://payer.example.org/fhir/Questionnaire/f",
    "contained": [VALUE_SET],
    "item": [
        {"linkId": "title", "type": "display", "text": "A form"},
        {
            "linkId": "group",
            "type": "group",
            "item": [
                {"linkId": "yes", "type": "boolean", "text": "Yes?", "required": True},
                {
                    "linkId": "why",
                    "type": "string",
                    "text": "Why?",
                    "required": True,
                    "maxLength": 5,
                    "enableWhen": [{"question": "yes", "operator": "=", "answerBoolean": True}],
                },
            ],
        },
        {"linkId": "day", "type": "date", "text": "Day?"},
        {"linkId": "moment", "type": "dateTime", "text": "Moment?"},
        {"linkId": "clock", "type": "time", "text": "Time?"},
        {"linkId": "count", "type": "integer", "text": "Count?"},
        {"linkId": "much", "type": "decimal", "text": "Much?"},
        {"linkId": "amount", "type": "quantity", "text": "Amount?"},
        {"linkId": "file", "type": "attachment", "text": "File?"},
        {"linkId": "record", "type": "reference", "text": "Record?"},
        {"linkId": "place", "type": "url", "text": "Place?"},
        {
            "linkId": "many",
            "type": "choice",
            "text": "Many?",
            "repeats": True,
            "answerOption": [{"valueString": "a"}],
        },
        {
            "linkId": "pick",
            "type": "choice",
            "text": "Pick?",
            "answerOption": [{"valueCoding": LEFT}, {"valueInteger": 3}],
        },
        {"linkId": "open", "type": "open-choice", "text": "Open?", "answerOption": [{"valueCoding": LEFT}]},
        {"linkId": "side", "type": "choice", "text": "Side?", "answerValueSet": f"{SET}|2"},
        {"linkId": "own", "type": "choice", "text": "Own?", "answerValueSet": "#sides"},
        {"linkId": "unknown-set", "type": "choice", "text": "Unknown?", "answerValueSet": f"{SET}|3"},
        {
            "linkId": "rows",
            "type": "group",
            "repeats": True,
            "item": [{"linkId": "cell", "type": "string", "text": "Cell?"}],
        },
        {
            "linkId": "outer",
            "type": "boolean",
            "text": "Outer?",
            "item": [{"linkId": "inner", "type": "boolean", "text": "Inner?", "required": True}],
        },
        {
            "linkId": "after",
            "type": "boolean",
            "text": "After?",
            "enableWhen": [{"question": "many", "operator": "=", "answerString": "a"}],
        },
    ],
}
FORM = read_form(QUESTIONNAIRE, [VALUE_SET])
NOTHING: frozenset[LinkId] = frozenset()


def item(link_id: str, *answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"linkId": link_id, **({"answer": list(answers)} if answers else {}), **more}


def findings(
    *items: dict[str, Any], asked: frozenset[LinkId] | None = NOTHING, attested: frozenset[LinkId] = NOTHING
) -> tuple[AnswerFinding, ...]:
    return validate(
        FORM, {"resourceType": "QuestionnaireResponse", "item": list(items)}, asked=asked, attested=attested
    )


def told(*items: dict[str, Any], **more: Any) -> list[tuple[str | None, str, str]]:
    return [(f.link_id, f.code, f.expression) for f in findings(*items, **more)]


RIGHT = [
    ("yes", {"valueBoolean": False}),
    ("day", {"valueDate": "2026-02"}),
    ("moment", {"valueDateTime": "2026-02-03T04:05:06Z"}),
    ("moment", {"valueDateTime": "2026"}),
    ("clock", {"valueTime": "23:59:00"}),
    ("count", {"valueInteger": 3}),
    ("much", {"valueDecimal": Decimal("1.5")}),
    ("amount", {"valueQuantity": {"value": 1, "unit": "mg"}}),
    ("file", {"valueAttachment": {"url": "https://ehr.example.org/Binary/1"}}),
    ("record", {"valueReference": {"reference": "Condition/1"}}),
    ("place", {"valueUri": "https://ehr.example.org"}),
    ("many", {"valueString": "a"}),
    ("pick", {"valueCoding": {"system": "urn:sides", "code": "L", "display": "otherwise said"}}),
    ("pick", {"valueInteger": 3}),
    ("open", {"valueString": "something else"}),
    ("side", {"valueCoding": LEFT}),
    ("own", {"valueCoding": LEFT}),
    ("unknown-set", {"valueCoding": {"code": "x"}}),
]
WRONG = [
    ("yes", {"valueString": "yes"}, "value"),
    ("yes", {"valueBoolean": "true"}, "value"),
    ("day", {"valueDate": "2026-02-30"}, "value"),
    ("day", {"valueDate": "2026-02-03T00:00:00Z"}, "value"),
    ("moment", {"valueDateTime": "2026-02-03T04:05"}, "value"),
    ("clock", {"valueTime": "24:00:00"}, "value"),
    ("count", {"valueInteger": True}, "value"),
    ("much", {"valueDecimal": "1"}, "value"),
    ("amount", {"valueQuantity": {"unit": "mg"}}, "value"),
    ("file", {"valueAttachment": {}}, "value"),
    ("record", {"valueReference": {}}, "value"),
    ("many", {"valueString": "b"}, "code-invalid"),
    ("many", {"valueCoding": {"code": "a"}}, "value"),
    ("pick", {"valueCoding": {"system": "urn:other", "code": "L"}}, "code-invalid"),
    ("pick", {"valueInteger": 4}, "code-invalid"),
    ("pick", {"valueString": "Left"}, "value"),
    ("open", {"valueCoding": {"system": "urn:sides", "code": "R"}}, "code-invalid"),
    ("side", {"valueCoding": {"system": "urn:sides", "code": "any"}}, "code-invalid"),
    ("side", {"valueCoding": {"system": "urn:sides", "code": "gone"}}, "code-invalid"),
    ("own", {"valueCoding": {"system": "urn:sides", "code": "R"}}, "code-invalid"),
    ("day", {"valueDate": "2026", "valueString": "2026"}, "structure"),
]


@pytest.mark.parametrize(("link_id", "answer"), RIGHT)
def test_an_answer_of_its_type_and_options_is_right(link_id: str, answer: dict[str, Any]) -> None:
    nested = item("group", item=[item(link_id, answer)]) if link_id == "yes" else item(link_id, answer)
    assert findings(nested) == ()


@pytest.mark.parametrize(("link_id", "answer", "code"), WRONG)
def test_a_wrong_answer_is_found_where_it_stands_and_is_in_doubt(
    link_id: str, answer: dict[str, Any], code: str
) -> None:
    nested = item("group", item=[item(link_id, answer)]) if link_id == "yes" else item(link_id, answer)
    place = "QuestionnaireResponse.item[0]" + (".item[0]" if link_id == "yes" else "") + ".answer[0]"
    assert told(nested) == [(link_id, code, place)]
    reading = read_answers(FORM, {"item": [nested]}, frozenset())
    assert link_id in reading.doubts
    assert link_id not in reading.answers


def test_a_text_is_no_longer_than_the_form_says() -> None:
    around = [item("yes", {"valueBoolean": True}), item("why", {"valueString": "longer"})]
    assert told(item("group", item=around)) == [
        ("why", "too-long", "QuestionnaireResponse.item[0].item[1].answer[0]")
    ]
    around[1] = item("why", {"valueString": "short"})
    assert told(item("group", item=around)) == []


def test_required_questions_are_missed_where_they_are_asked() -> None:
    assert told(asked=None) == [("yes", "required", "QuestionnaireResponse")]
    empty = item("group", item=[item("yes")])
    assert told(empty, asked=None) == [("yes", "required", "QuestionnaireResponse.item[0].item[0]")]
    yes = item("group", item=[item("yes", {"valueBoolean": True})])
    assert told(yes, asked=None) == [("why", "required", "QuestionnaireResponse")]
    no = item("group", item=[item("yes", {"valueBoolean": False})])
    assert told(no, asked=None) == []
    assert told(yes, asked=frozenset({LinkId("yes")})) == []


def test_a_question_under_a_question_is_missed_only_below_an_answer() -> None:
    no = item("group", item=[item("yes", {"valueBoolean": False})])
    assert told(no, item("outer"), asked=None) == []
    assert told(no, item("outer", {"valueBoolean": True}), asked=None) == [
        ("inner", "required", "QuestionnaireResponse")
    ]
    below = {"valueBoolean": True, "item": [item("inner", {"valueBoolean": True})]}
    assert told(no, item("outer", below), asked=None) == []


def test_a_wrong_answer_is_not_also_called_missing() -> None:
    wrong = item("group", item=[item("yes", {"valueString": "x"})])
    assert [code for _, code, _ in told(wrong, asked=None)] == ["value"]


def test_a_disabled_answer_is_a_warning() -> None:
    around = [item("yes", {"valueBoolean": False}), item("why", {"valueString": "x"})]
    [found] = findings(item("group", item=around))
    assert (found.link_id, found.code, found.severity) == ("why", "business-rule", WARNING)


def test_several_answers_and_repeated_items() -> None:
    assert told(item("day", {"valueDate": "2026"}, {"valueDate": "2027"})) == [
        ("day", "invalid", "QuestionnaireResponse.item[0].answer")
    ]
    assert told(item("many", {"valueString": "a"}, {"valueString": "a"})) == []
    assert told(item("day", {"valueDate": "2026"}), item("day", {"valueDate": "2026"})) == [
        ("day", "duplicate", "QuestionnaireResponse.item[0]"),
        ("day", "duplicate", "QuestionnaireResponse.item[1]"),
    ]


def test_a_question_may_stand_once_in_each_instance_of_a_repeating_group() -> None:
    row = item("rows", item=[item("cell", {"valueString": "x"})])
    assert told(row, {**row, "item": [item("cell", {"valueString": "y"})]}) == []
    twice = item("rows", item=[item("cell", {"valueString": "x"}), item("cell", {"valueString": "y"})])
    assert [code for _, code, _ in told(twice)] == ["duplicate", "duplicate"]


def test_an_item_that_the_form_does_not_have_is_not_named() -> None:
    [found] = findings(item("secret name", {"valueString": "secret answer"}))
    assert (found.link_id, found.code, found.expression) == (None, "not-found", "QuestionnaireResponse.item[0]")
    assert "secret" not in found.text


def test_headings_and_texts_take_no_answer() -> None:
    assert told(item("title", {"valueString": "x"}), item("group", {"valueString": "x"})) == [
        ("title", "structure", "QuestionnaireResponse.item[0].answer"),
        ("group", "structure", "QuestionnaireResponse.item[1].answer"),
    ]


def test_an_item_that_stands_elsewhere_is_read_with_a_warning() -> None:
    [found] = findings(item("yes", {"valueBoolean": False}))
    assert (found.link_id, found.code, found.severity) == ("yes", "structure", WARNING)


@pytest.mark.parametrize("source", ["auto", "auto-client", "auto-server"])
def test_the_prescribers_word_is_not_filled_automatically(source: str) -> None:
    origin = nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=source))
    answered = item("group", item=[item("yes", {"valueBoolean": True, "extension": [origin]})])
    assert findings(answered) == ()
    [found] = findings(answered, attested=frozenset({LinkId("yes")}))
    assert (found.code, found.expression) == ("business-rule", "QuestionnaireResponse.item[0].item[0].answer[0]")


def test_one_of_several_answers_enables() -> None:
    after = item("after", {"valueBoolean": True})
    assert told(item("many", {"valueString": "a"}), after) == []
    assert [f.severity for f in findings(after)] == [WARNING]


values = st.one_of(
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from(["2026", "2026-02-30", "a", "", "L"]),
    st.just(LEFT),
    st.just({"code": "x"}),
)
elements = st.sampled_from(
    ["valueBoolean", "valueDate", "valueString", "valueCoding", "valueInteger", "valueNonsense"]
)
link_ids = st.sampled_from([*FORM.around, "not there"])
responses = st.recursive(
    st.lists(st.builds(lambda key: item(key), link_ids), max_size=3),
    lambda inner: st.lists(
        st.builds(
            lambda key, answers, below: {"linkId": key, "answer": answers, **({"item": below} if below else {})},
            link_ids,
            st.lists(st.dictionaries(elements, values, min_size=1, max_size=2), min_size=1, max_size=2),
            inner,
        ),
        max_size=4,
    ),
    max_leaves=8,
)


@given(responses)
def test_no_error_means_that_every_answer_counts_and_a_doubt_is_an_error(items: list[dict[str, Any]]) -> None:
    """The validator and the reading at $submit agree, whatever is sent."""
    response = {"resourceType": "QuestionnaireResponse", "item": items}
    reading = read_answers(FORM, response, frozenset())
    wrong = {f.link_id for f in validate(FORM, response, asked=frozenset()) if f.severity == ERROR and f.link_id}
    in_rows = {LinkId("cell")}
    assert set(reading.doubts) - in_rows <= wrong
    assert not (wrong & set(reading.answers))
