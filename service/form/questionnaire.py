"""A Questionnaire as what it asks: questions by linkId, with when they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.fhir.canonical import split_canonical
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
class Option:
    """One permitted answer: the element that holds it ("valueCoding") and its value."""

    element: str
    value: Any


@dataclass(frozen=True, slots=True)
class Question:
    """One item of a form that may hold an answer. `parents` are the linkIds around it, outermost first.

    `options` are the permitted answers; None where the form gives none, or names a value set that we do not have.
    """

    link_id: LinkId
    type: str
    text: str
    repeats: bool
    required: bool
    parents: tuple[LinkId, ...]
    max_length: int | None = None
    options: tuple[Option, ...] | None = None

    @property
    def value_element(self) -> str:
        return _VALUE_ELEMENTS[self.type]

    @property
    def value_elements(self) -> frozenset[str]:
        """Where the answer's value may stand: as the options have it; an open choice may also be words."""
        offered = {option.element for option in self.options or ()} or {self.value_element}
        extra = {"valueString"} if self.type == "open-choice" else set()
        return frozenset(offered | extra)

    def element_of(self, value: Any) -> str:
        """Where a value of this question stands in an answer; a choice among words holds words."""
        offered = next((o.element for o in self.options or () if o.value == value), None)
        words = self.type in {"choice", "open-choice"} and isinstance(value, str)
        return offered or ("valueString" if words else self.value_element)


@dataclass(frozen=True, slots=True)
class Form:
    """A Questionnaire read once. `conditions` holds groups' and displays' conditions too, `around` every item's
    parents, outermost first; `repeating` are the groups that may stand more than once.
    """

    url: str
    version: str | None
    questions: Mapping[LinkId, Question]
    conditions: Mapping[LinkId, tuple[Condition, ...]]
    any_of: frozenset[LinkId]
    around: Mapping[LinkId, tuple[LinkId, ...]]
    repeating: frozenset[LinkId]

    def holders(self, link_id: LinkId) -> tuple[LinkId, ...]:
        """The item itself and everything around it: all must be enabled for it to be asked."""
        question = self.questions[link_id]
        return (*question.parents, link_id)


def read_form(questionnaire: Resource, value_sets: Iterable[Resource] = ()) -> Form:
    """The questions of a Questionnaire, in its order. `value_sets`: expanded ones that its options may name."""
    questions: dict[LinkId, Question] = {}
    conditions: dict[LinkId, tuple[Condition, ...]] = {}
    around: dict[LinkId, tuple[LinkId, ...]] = {}
    any_of: set[LinkId] = set()
    repeating: set[LinkId] = set()
    sets = _ValueSets(questionnaire.get("contained") or (), value_sets)
    for item, parents in _walk(questionnaire.get("item") or (), ()):
        link_id = LinkId(item["linkId"])
        around[link_id] = parents
        conditions[link_id] = tuple(_condition(entry) for entry in item.get("enableWhen") or ())
        if item.get("enableBehavior") == "any":
            any_of.add(link_id)
        if item["type"] not in _NOT_ASKED:
            questions[link_id] = _question(item, parents, sets)
        elif item.get("repeats"):
            repeating.add(link_id)
    return Form(
        url=questionnaire["url"],
        version=questionnaire.get("version"),
        questions=questions,
        conditions=conditions,
        any_of=frozenset(any_of),
        around=around,
        repeating=frozenset(repeating),
    )


class _ValueSets:
    """The expanded value sets that a form's options may name: contained in it ("#id") or by canonical."""

    def __init__(self, contained: Iterable[Resource], others: Iterable[Resource]) -> None:
        self._contained = {f"#{each.get('id')}": each for each in contained}
        self._others = tuple(others)

    def options(self, canonical: str) -> tuple[Option, ...] | None:
        found = self._contained.get(canonical) or self._by_canonical(canonical)
        if found is None or not isinstance(found.get("expansion"), Mapping):
            return None
        return tuple(Option("valueCoding", coding) for coding in codes(found["expansion"].get("contains") or ()))

    def _by_canonical(self, canonical: str) -> Resource | None:
        url, version = split_canonical(canonical)
        return next(
            (v for v in self._others if v.get("url") == url and version in (None, v.get("version"))),
            None,
        )


def codes(contains: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The codes that an expansion offers, at any depth: neither abstract nor inactive ones."""
    for entry in contains:
        if entry.get("code") and not entry.get("abstract") and not entry.get("inactive"):
            yield entry
        yield from codes(entry.get("contains") or ())


def _question(item: Mapping[str, Any], parents: tuple[LinkId, ...], sets: _ValueSets) -> Question:
    link_id = LinkId(item["linkId"])
    return Question(
        link_id=link_id,
        type=item["type"],
        text=item.get("text", link_id),
        repeats=bool(item.get("repeats", False)),
        required=bool(item.get("required", False)),
        parents=parents,
        max_length=item.get("maxLength"),
        options=_options(item, sets),
    )


def _options(item: Mapping[str, Any], sets: _ValueSets) -> tuple[Option, ...] | None:
    listed = tuple(
        Option(element, value)
        for option in item.get("answerOption") or ()
        for element, value in option.items()
        if element.startswith("value")
    )
    canonical = item.get("answerValueSet")
    return listed or (sets.options(canonical) if isinstance(canonical, str) else None)


def _walk(
    items: Iterator[Mapping[str, Any]] | Any, parents: tuple[LinkId, ...]
) -> Iterator[tuple[Mapping[str, Any], tuple[LinkId, ...]]]:
    for item in items:
        yield item, parents
        yield from _walk(item.get("item") or (), (*parents, LinkId(item["linkId"])))


def _condition(entry: Mapping[str, Any]) -> Condition:
    expected = next((value for key, value in entry.items() if key.startswith("answer")), None)
    return Condition(LinkId(entry["question"]), entry["operator"], expected)
