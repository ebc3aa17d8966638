"""A Questionnaire as it is drawn: items in their tree, with help, options and what may be typed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.fhir import canonical
from service.fhir.build import Json
from service.form.answers import show

TYPED: Final = frozenset(
    {"boolean", "decimal", "integer", "date", "dateTime", "time", "string", "text", "url", "quantity"}
)
CHOSEN: Final = frozenset({"choice", "open-choice"})


@dataclass(frozen=True, slots=True)
class Option:
    """One allowed answer: its value[x] element with the value, and its label."""

    value: Json
    label: str


@dataclass(frozen=True, slots=True)
class Item:
    """One item. `kind` is its FHIR type; `depends` says in words when a dependent question is asked."""

    link_id: str
    kind: str
    text: str
    help: tuple[str, ...]
    required: bool
    read_only: bool
    hidden: bool
    repeats: bool
    options: tuple[Option, ...]
    units: tuple[Option, ...]
    max_length: int | None
    depends: str
    depends_on: tuple[Json, ...]
    depends_any: bool
    children: tuple[Item, ...]

    @property
    def is_question(self) -> bool:
        return self.kind not in ("group", "display")

    @property
    def is_editable(self) -> bool:
        """Whether an answer can be given on the clinic's form (attachments and references cannot)."""
        drawn = self.kind in TYPED or (self.kind in CHOSEN and (bool(self.options) or self.kind == "open-choice"))
        return self.is_question and drawn and not self.read_only and not self.hidden


def draw(questionnaire: Json, value_sets: Sequence[Json]) -> tuple[Item, ...]:
    """The items of a Questionnaire; `value_sets` are the expanded ones that came with it."""
    contained = {f"#{held.get('id')}": held for held in questionnaire.get("contained", ())}
    sets = {str(held.get("url")): held for held in value_sets} | contained
    texts = {item["linkId"]: item.get("text", "") for item in _walk(questionnaire.get("item", ()))}
    return tuple(_item(item, sets, texts) for item in questionnaire.get("item", ()))


def questions(items: Sequence[Item]) -> Iterator[Item]:
    """All questions, outermost first, in their order."""
    for item in items:
        if item.is_question:
            yield item
        yield from questions(item.children)


def _item(item: Json, sets: Mapping[str, Json], texts: Mapping[str, str]) -> Item:
    inner = item.get("item", ())
    conditions = item.get("enableWhen", ())
    return Item(
        link_id=item["linkId"],
        kind=item["type"],
        text=" ".join(part for part in (item.get("prefix"), item.get("text", item["linkId"])) if part),
        help=tuple(child.get("text", "") for child in inner if _is_help(child)),
        required=bool(item.get("required", False)),
        read_only=bool(item.get("readOnly", False)),
        hidden=_extension(item, canonical.QUESTIONNAIRE_HIDDEN) is True,
        repeats=bool(item.get("repeats", False)),
        options=_options(item, sets),
        units=_units(item),
        max_length=item.get("maxLength"),
        depends=_in_words(conditions, texts, item.get("enableBehavior") == "any"),
        depends_on=tuple(conditions),
        depends_any=item.get("enableBehavior") == "any",
        children=tuple(_item(child, sets, texts) for child in inner if not _is_help(child)),
    )


def _is_help(item: Json) -> bool:
    control = _extension(item, canonical.QUESTIONNAIRE_ITEM_CONTROL)
    codes = control.get("coding", ()) if isinstance(control, dict) else ()
    return item["type"] == "display" and any(coding.get("code") == "help" for coding in codes)


def _extension(item: Json, url: str) -> Any:
    return next((_value(held) for held in item.get("extension", ()) if held.get("url") == url), None)


def _value(element: Json) -> Any:
    return next((value for name, value in element.items() if name.startswith("value")), None)


def _options(item: Json, sets: Mapping[str, Json]) -> tuple[Option, ...]:
    listed = [_value_of(option) for option in item.get("answerOption", ())]
    named = sets.get(canonical.split_canonical(item["answerValueSet"])[0]) if "answerValueSet" in item else None
    if "answerValueSet" in item and item["answerValueSet"].startswith("#"):
        named = sets.get(item["answerValueSet"])
    for concept in (named or {}).get("expansion", {}).get("contains", ()):
        coding = {name: concept[name] for name in ("system", "code", "display") if name in concept}
        listed.append({"valueCoding": coding})
    return tuple(Option(value, show(_value(value))) for value in listed if value)


def _value_of(option: Json) -> Json:
    return {name: value for name, value in option.items() if name.startswith("value")}


def _units(item: Json) -> tuple[Option, ...]:
    return tuple(
        Option(_value_of(held), show(_value(held)))
        for held in item.get("extension", ())
        if held.get("url") == canonical.QUESTIONNAIRE_UNIT_OPTION
    )


def _in_words(conditions: Sequence[Json], texts: Mapping[str, str], is_any: bool) -> str:
    told = [_condition_in_words(condition, texts) for condition in conditions]
    return (" or " if is_any else " and ").join(told)


def _condition_in_words(condition: Json, texts: Mapping[str, str]) -> str:
    question = texts.get(condition["question"], condition["question"])
    expected = next((value for name, value in condition.items() if name.startswith("answer")), None)
    if condition["operator"] == "exists":
        return f"“{question}” is {'answered' if expected else 'not answered'}"
    words = {"=": "is", "!=": "is not", ">": "is more than", "<": "is less than", ">=": "is at least"}
    return f"“{question}” {words.get(condition['operator'], 'is at most')} {show(expected)}"


def _walk(items: Sequence[Json]) -> Iterator[Json]:
    for item in items:
        yield item
        yield from _walk(item.get("item", ()))
