"""The form as a page: each question with what stands in it, where that came from, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from service.demo.posted import ANSWER, OTHER, UNIT, Fields, Posted
from service.demo.prefill import Prefilled, Record
from service.demo.progress import OpenForm
from service.demo.questions import Item, questions
from service.fhir.build import Json
from service.form.answers import show

_FROM_PAYER: Final = "auto-server"
_YES_NO: Final = {"yes": "Yes", "no": "No", "": "leave open"}


@dataclass(frozen=True, slots=True)
class Field:
    """One item as drawn. `values` are the posted texts of what stands in it, options by their number.

    `origin` is "chart", "payer" or "" for what nobody filled; `when` is the JSON that lets the page's script hide a
    question that is not asked.
    """

    item: Item
    number: int
    values: tuple[str, ...]
    other: str
    unit: str
    shown: tuple[str, ...]
    origin: str
    evidence: tuple[Record, ...]
    fault: str
    hint: str
    when: str
    children: tuple[Field, ...]

    @property
    def name(self) -> str:
        return ANSWER + self.item.link_id

    @property
    def html_id(self) -> str:
        return f"q{self.number}"


@dataclass(frozen=True, slots=True)
class FormPage:
    """The whole form, and its faults in the form's order (html id, question, what to do)."""

    title: str
    fields: tuple[Field, ...]
    faults: tuple[tuple[str, str, str], ...]
    may_send_incomplete: bool


@dataclass(frozen=True, slots=True)
class _Drawing:
    opened: OpenForm
    numbers: Mapping[str, int]
    faults: Mapping[str, str]
    typed: Fields | None
    hints: Mapping[str, str]


def form_page(opened: OpenForm, hints: Mapping[str, str], typed: Fields | None, posted: Posted | None) -> FormPage:
    """The form as opened, or as posted (`typed`) with its faults. `hints` are the story's answers by linkId."""
    faults = dict(posted.faults) if posted else {}
    if posted:
        faults |= dict.fromkeys(posted.unanswered, "Answer this question.")
    numbers = {item.link_id: number for number, item in enumerate(questions(opened.items), start=1)}
    drawing = _Drawing(opened, numbers, faults, typed, hints)
    listed = tuple(
        (f"q{numbers[item.link_id]}", item.text, faults[item.link_id])
        for item in questions(opened.items)
        if item.link_id in faults
    )
    return FormPage(
        title=opened.questionnaire.get("title", "Form"),
        fields=_fields(opened.items, drawing),
        faults=listed,
        may_send_incomplete=bool(posted and posted.unanswered and not posted.faults),
    )


def _fields(items: Sequence[Item], drawing: _Drawing) -> tuple[Field, ...]:
    return tuple(_field(item, drawing) for item in items if not item.hidden)


def _field(item: Item, drawing: _Drawing) -> Field:
    opened = drawing.opened
    before = opened.prefilled.get(item.link_id)
    values, other, unit = _standing(item, drawing)
    shown = tuple(show(_plain(value)) for value in before.values) if before else ()
    return Field(
        item=item,
        number=drawing.numbers.get(item.link_id, 0),
        values=values,
        other=other,
        unit=unit,
        shown=shown,
        origin=_origin(before),
        evidence=tuple(opened.evidence.get(item.link_id, ())),
        fault=drawing.faults.get(item.link_id, ""),
        hint=_hint(drawing.hints.get(item.link_id), shown),
        when=_when(item, opened.items),
        children=_fields(item.children, drawing),
    )


def _hint(answer: str | None, shown: tuple[str, ...]) -> str:
    """What the story answers, where the form does not say it already."""
    told = "" if answer is None else _YES_NO.get(answer, answer)
    return "" if shown == (told,) else told


def _standing(item: Item, drawing: _Drawing) -> tuple[tuple[str, ...], str, str]:
    """The texts in a question's fields: what was posted, else what the answers say."""
    if drawing.typed is not None and item.is_editable:
        named = [drawing.typed.get(prefix + item.link_id, ()) for prefix in (ANSWER, OTHER, UNIT)]
        return tuple(named[0]), next(iter(named[1]), ""), next(iter(named[2]), "")
    answers = drawing.opened.answers.get(item.link_id, ())
    if item.kind in ("choice", "open-choice"):
        chosen = tuple(str(n) for value in answers if (n := _option(item, value)) is not None)
        words = [show(_plain(value)) for value in answers if _option(item, value) is None]
        return chosen, next(iter(words), ""), ""
    if item.kind == "quantity":
        quantities = [value["valueQuantity"] for value in answers if "valueQuantity" in value]
        return tuple(str(q.get("value", "")) for q in quantities), "", _unit(item, quantities)
    return tuple(_text(_plain(value)) for value in answers), "", ""


def _option(item: Item, value: Json) -> int | None:
    return next((number for number, option in enumerate(item.options) if _same(option.value, value)), None)


def _same(one: Json, other: Json) -> bool:
    first, second = _plain(one), _plain(other)
    if isinstance(first, dict) and isinstance(second, dict):
        return (first.get("system"), first.get("code")) == (second.get("system"), second.get("code"))
    return one == other


def _unit(item: Item, quantities: Sequence[Json]) -> str:
    if not quantities:
        return ""
    held = quantities[0]
    codes = [option.value["valueCoding"].get("code") for option in item.units]
    return str(codes.index(held["code"])) if held.get("code") in codes else str(held.get("unit", ""))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _plain(value: Json) -> Any:
    return next(iter(value.values()), "")


def _origin(before: Prefilled | None) -> str:
    if before is None:
        return ""
    return "payer" if before.origin == _FROM_PAYER else "chart"


def _when(item: Item, items: Sequence[Item]) -> str:
    """The item's conditions with expected values as the form posts them; "" where the script should not try."""
    by_link = {question.link_id: question for question in questions(items)}
    told = []
    for condition in item.depends_on:
        asked = by_link.get(condition["question"])
        name, expected = next((pair for pair in condition.items() if pair[0].startswith("answer")), ("", None))
        if asked is None or condition["operator"] not in ("=", "!=", "exists"):
            return ""
        text = _text(expected)
        if isinstance(expected, dict):
            number = _option(asked, {"valueCoding": expected}) if name == "answerCoding" else None
            if number is None:
                return ""
            text = str(number)
        told.append({"name": ANSWER + asked.link_id, "operator": condition["operator"], "value": text})
    return msgspec.json.encode({"any": item.depends_any, "all": told}).decode() if told else ""
