"""A Questionnaire as what it asks: questions by linkId, with when they are asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.policy.model import LinkId
from service.ports import Resource

_VALUE_ELEMENTS: Final = {
    "boolean": "valueBoolean",
    "decimal": "valueDecimal",
    "integer": "valueInteger",
    "date": "valueDate",
    "dateTime": "valueDateTime",
    "time": "valueTime",
    "string": "valueString",
    "text": "valueString",
    "url": "valueUri",
    "choice": "valueCoding",
    "open-choice": "valueCoding",
    "attachment": "valueAttachment",
    "reference": "valueReference",
    "quantity": "valueQuantity",
}
_NOT_ASKED: Final = frozenset({"group", "display"})


@dataclass(frozen=True, slots=True)
class Condition:
    """One enableWhen: `expected` is the value compared with, or for `exists` whether an answer must be there."""

    question: LinkId
    operator: str
    expected: Any


@dataclass(frozen=True, slots=True)
class Question:
    """One item of a form that may hold an answer. `parents` are the linkIds around it, outermost first."""

    link_id: LinkId
    type: str
    text: str
    repeats: bool
    required: bool
    parents: tuple[LinkId, ...]

    @property
    def value_element(self) -> str:
        return _VALUE_ELEMENTS[self.type]

    @property
    def value_elements(self) -> frozenset[str]:
        """Where the answer's value may stand; an open choice may also be words."""
        extra = {"valueString"} if self.type == "open-choice" else set()
        return frozenset({self.value_element} | extra)


@dataclass(frozen=True, slots=True)
class Form:
    """A Questionnaire read once. `conditions` holds groups' and displays' conditions too."""

    url: str
    version: str | None
    questions: Mapping[LinkId, Question]
    conditions: Mapping[LinkId, tuple[Condition, ...]]
    any_of: frozenset[LinkId]

    def holders(self, link_id: LinkId) -> tuple[LinkId, ...]:
        """The item itself and everything around it: all must be enabled for it to be asked."""
        question = self.questions[link_id]
        return (*question.parents, link_id)


def read_form(questionnaire: Resource) -> Form:
    """The questions of a Questionnaire, in its order."""
    questions: dict[LinkId, Question] = {}
    conditions: dict[LinkId, tuple[Condition, ...]] = {}
    any_of: set[LinkId] = set()
    for item, parents in _walk(questionnaire.get("item") or (), ()):
        link_id = LinkId(item["linkId"])
        conditions[link_id] = tuple(_condition(entry) for entry in item.get("enableWhen") or ())
        if item.get("enableBehavior") == "any":
            any_of.add(link_id)
        if item["type"] not in _NOT_ASKED:
            questions[link_id] = Question(
                link_id=link_id,
                type=item["type"],
                text=item.get("text", link_id),
                repeats=bool(item.get("repeats", False)),
                required=bool(item.get("required", False)),
                parents=parents,
            )
    return Form(
        url=questionnaire["url"],
        version=questionnaire.get("version"),
        questions=questions,
        conditions=conditions,
        any_of=frozenset(any_of),
    )


def _walk(
    items: Iterator[Mapping[str, Any]] | Any, parents: tuple[LinkId, ...]
) -> Iterator[tuple[Mapping[str, Any], tuple[LinkId, ...]]]:
    for item in items:
        yield item, parents
        yield from _walk(item.get("item") or (), (*parents, LinkId(item["linkId"])))


def _condition(entry: Mapping[str, Any]) -> Condition:
    expected = next((value for key, value in entry.items() if key.startswith("answer")), None)
    return Condition(LinkId(entry["question"]), entry["operator"], expected)
