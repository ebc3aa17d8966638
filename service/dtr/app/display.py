"""A form as the browser's renderer is given it: what it can draw, nothing that it would run or fetch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from service.fhir import canonical
from service.fhir.build import Json
from service.policy.dates import PartialDate
from service.ports import Resource

# Extensions that only say how an item is drawn; expressions, markup and links stay on this side.
_DRAWN: Final = frozenset(
    {
        canonical.QUESTIONNAIRE_HIDDEN,
        canonical.QUESTIONNAIRE_ITEM_CONTROL,
        canonical.QUESTIONNAIRE_UNIT_OPTION,
        canonical.QUESTIONNAIRE_OPTION_EXCLUSIVE,
    }
)
_KEPT: Final = frozenset(
    {
        "linkId",
        "prefix",
        "text",
        "type",
        "enableWhen",
        "enableBehavior",
        "required",
        "repeats",
        "readOnly",
        "maxLength",
        "answerValueSet",
        "answerOption",
    }
)


def display_form(questionnaire: Resource, value_sets: Sequence[Resource]) -> Json:
    """A copy for lforms: value sets contained, help texts left to the page, nothing required of a group.

    The renderer asks an answer of every required group, also of an answered one; what is required is checked here.
    """
    sets = {str(held.get("url")): held for held in value_sets}
    used: dict[str, Json] = {}
    shown: Json = {
        "resourceType": "Questionnaire",
        "status": "active",
        **{name: questionnaire[name] for name in ("url", "version", "title") if name in questionnaire},
        "item": [_item(item, sets, used) for item in questionnaire.get("item") or () if not is_help(item)],
    }
    contained = [*(questionnaire.get("contained") or ()), *used.values()]
    return {**shown, "contained": contained} if contained else shown


def display_items(questionnaire: Resource, items: Sequence[Mapping[str, Any]]) -> list[Json]:
    """Answers for the renderer: values alone, without partial dates, which it would make the first of the month."""
    dates = {item["linkId"] for item in every_item(questionnaire) if item["type"] == "date"}
    return [_answered(item, dates) for item in items]


def help_texts(questionnaire: Resource) -> dict[str, tuple[str, ...]]:
    """The help texts under each item, by the item's linkId."""
    return {
        item["linkId"]: tuple(child.get("text", "") for child in item["item"] if is_help(child))
        for item in every_item(questionnaire)
        if any(is_help(child) for child in item.get("item") or ())
    }


def every_item(holder: Resource) -> Iterator[Mapping[str, Any]]:
    """All items of a form, outermost first, in their order."""
    for item in holder.get("item") or ():
        yield item
        yield from every_item(item)


def is_help(item: Mapping[str, Any]) -> bool:
    """Whether an item is the help text of the one around it."""
    codes = (
        coding.get("code")
        for held in item.get("extension") or ()
        if held.get("url") == canonical.QUESTIONNAIRE_ITEM_CONTROL
        for coding in (held.get("valueCodeableConcept") or {}).get("coding") or ()
    )
    return item.get("type") == "display" and "help" in codes


def _item(item: Mapping[str, Any], sets: Mapping[str, Resource], used: dict[str, Json]) -> Json:
    shown = {name: value for name, value in item.items() if name in _KEPT}
    drawn = [held for held in item.get("extension") or () if held.get("url") in _DRAWN]
    if drawn:
        shown["extension"] = drawn
    if item["type"] == "group":
        shown.pop("required", None)
    named = sets.get(canonical.split_canonical(str(item.get("answerValueSet", "")))[0])
    if named is not None:
        logical_id = str(named["url"]).rpartition("/")[2]
        used[logical_id] = {**named, "id": logical_id}
        shown["answerValueSet"] = f"#{logical_id}"
    inner = [_item(child, sets, used) for child in item.get("item") or () if not is_help(child)]
    return {**shown, "item": inner} if inner else shown


def _answered(item: Mapping[str, Any], dates: set[str]) -> Json:
    shown: Json = {"linkId": item["linkId"], "text": item.get("text", "")}
    answers = []
    for answer in item.get("answer") or ():
        kept = {name: value for name, value in answer.items() if name.startswith("value")}
        if item["linkId"] in dates and not is_whole_date(kept.get("valueDate")):
            continue
        inner = [_answered(child, dates) for child in answer.get("item") or ()]
        answers.append({**kept, **({"item": inner} if inner else {})})
    inner = [_answered(child, dates) for child in item.get("item") or ()]
    return {**shown, **({"answer": answers} if answers else {}), **({"item": inner} if inner else {})}


def is_whole_date(text: Any) -> bool:
    """Whether a FHIR date names a day."""
    day = PartialDate.parse(text) if isinstance(text, str) else None
    return day is not None and day.is_whole
