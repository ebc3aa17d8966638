"""Where each answer came from (information-origin): told by content against what stood there before, on this side.

An answer that says the same as before keeps its origin with its author. One that takes the place of another is an
override, unless that one was somebody's own word; anything else is manual (DTR 2.2.0, dtrx-1: with the author).
A date without its day stays where nothing takes its place: the renderer cannot show it, so it never comes back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.fhir.build import Json, extension, nested_extension
from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.form.enable import same_coding
from service.policy.dates import PartialDate
from service.ports import Resource

OVERRIDE: Final = "override"
MANUAL: Final = "manual"
_Items = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Who answers, and the linkIds whose partial date does not stay."""

    author: Json
    dropped: frozenset[str]


def stamped(
    questionnaire: Resource,
    before: _Items,
    posted: Sequence[Any],
    author: Json,
    dropped: Collection[str] = (),
) -> list[Json]:
    """The posted answers as QuestionnaireResponse.item: the form's items and texts, values alone from the browser.

    `dropped` are linkIds whose partial date the user does not want, or that are not asked any more.
    """
    return _level(questionnaire.get("item") or (), before, posted, _Stamp(author, frozenset(dropped)))


def origins(items: _Items) -> dict[str, str]:
    """The origin of each answered question, by linkId; of several answers, a person's before a machine's."""
    found: dict[str, str] = {}
    for item in items:
        for answer in item.get("answer") or ():
            origin = origin_of(answer)
            if origin and (item["linkId"] not in found or origin in (OVERRIDE, MANUAL)):
                found[item["linkId"]] = origin
            found |= origins(answer.get("item") or ())
        found |= origins(item.get("item") or ())
    return found


def origin_of(answer: Mapping[str, Any]) -> str | None:
    """The code of an answer's information-origin."""
    for held in answer.get("extension") or ():
        if held.get("url") == DTR_INFORMATION_ORIGIN:
            for part in held.get("extension") or ():
                if part.get("url") == "source":
                    return str(part.get("valueCode"))
    return None


def is_partial(answer: Mapping[str, Any]) -> bool:
    """Whether an answer is a date without its day."""
    day = PartialDate.parse(answer["valueDate"]) if isinstance(answer.get("valueDate"), str) else None
    return day is not None and not day.is_whole


def partial_dates(items: _Items) -> dict[str, str]:
    """Dates without their day, by linkId."""
    found: dict[str, str] = {}
    for item in items:
        for answer in item.get("answer") or ():
            if is_partial(answer):
                found[item["linkId"]] = str(answer["valueDate"])
            found |= partial_dates(answer.get("item") or ())
        found |= partial_dates(item.get("item") or ())
    return found


def value_of(answer: Mapping[str, Any]) -> Json:
    """The value[x] of an answer with its element's name; empty for an answer without one."""
    return {name: value for name, value in answer.items() if name.startswith("value") and value is not None}


def _level(asked: _Items, before: _Items, posted: _Items, stamp: _Stamp) -> list[Json]:
    written: list[Json] = []
    for item in asked:
        now = [each for each in posted if _is(each, item)]
        then = [each for each in before if _is(each, item)]
        if item["type"] == "group":
            first = (then or [{}])[0]
            pairs = _paired_rows(now, then) if item.get("repeats") else [(each, first) for each in now or [{}]]
            written += [group for new, old in pairs if (group := _group(item, old, new, stamp)) is not None]
        elif item["type"] != "display":
            question = _question(item, then[0] if then else {}, now[0] if now else {}, stamp)
            written += [question] if question is not None else []
    return written


def _is(each: Any, item: Mapping[str, Any]) -> bool:
    return isinstance(each, Mapping) and each.get("linkId") == item["linkId"]


def _group(item: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], stamp: _Stamp) -> Json | None:
    inner = _level(item.get("item") or (), _list(old, "item"), _list(new, "item"), stamp)
    return {**_head(item), "item": inner} if inner else None


def _question(item: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], stamp: _Stamp) -> Json | None:
    given = [each for each in _list(new, "answer") if isinstance(each, Mapping)]
    earlier = [each for each in _list(old, "answer") if value_of(each)]
    values = [value for each in given if (value := value_of(each))]
    if not values:
        kept = [] if item["linkId"] in stamp.dropped else [answer for answer in earlier if is_partial(answer)]
        return {**_head(item), "answer": [_bare(answer) for answer in kept]} if kept else None
    answers = _answers(values, earlier, stamp.author)
    inner_old = [each for answer in earlier for each in _list(answer, "item")]
    inner_new = [each for answer in given for each in _list(answer, "item")]
    inner = _level(item.get("item") or (), inner_old, [*inner_new, *_list(new, "item")], stamp)
    if inner:
        # Questions under a question stand under its answer (R4 QuestionnaireResponse, qrs-1).
        answers[0]["item"] = inner
    return {**_head(item), "answer": answers}


def _answers(values: Sequence[Json], earlier: Sequence[Mapping[str, Any]], author: Json) -> list[Json]:
    """Equal ones are matched first, so that a row taken out does not turn the next one into its change."""
    left = list(earlier)
    kept: dict[int, Mapping[str, Any]] = {}
    for place, value in enumerate(values):
        same = next((each for each in left if _same(value_of(each), value)), None)
        if same is not None:
            left.remove(same)
            kept[place] = same
    written: list[Json] = []
    for place, value in enumerate(values):
        if place in kept:
            origin = [e for e in kept[place].get("extension") or () if e.get("url") == DTR_INFORMATION_ORIGIN]
            written.append({"extension": origin or [_by(MANUAL, author)], **value_of(kept[place])})
            continue
        replaced = left.pop(0) if left else None
        changed = replaced is not None and origin_of(replaced) not in (None, MANUAL)
        written.append({"extension": [_by(OVERRIDE if changed else MANUAL, author)], **value})
    return written


def _bare(answer: Mapping[str, Any]) -> Json:
    return {name: value for name, value in answer.items() if name != "item"}


def _by(source: str, author: Json) -> Json:
    by = {"url": "author", "extension": [extension("practitioner", valueReference=author)]}
    return nested_extension(DTR_INFORMATION_ORIGIN, extension("source", valueCode=source), by)


def _paired_rows(now: _Items, then: _Items) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Each row now with the row before that it shares most answers with; a row that shares none is new."""
    left = list(then)
    pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    for row in now:
        said = list(_leaves(row))
        scored = [(sum(any(a == b for b in said) for a in _leaves(each)), each) for each in left]
        best = max(scored, key=lambda pair: pair[0], default=(0, {}))
        if best[0]:
            left.remove(best[1])
        pairs.append((row, best[1] if best[0] else {}))
    return pairs


def _leaves(item: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for answer in _list(item, "answer"):
        if isinstance(answer, Mapping):
            yield str(item.get("linkId")), value_of(answer)
            for inner in _list(answer, "item"):
                yield from _leaves(inner)
    for inner in _list(item, "item"):
        if isinstance(inner, Mapping):
            yield from _leaves(inner)


def _same(one: Json, other: Json) -> bool:
    if one.keys() == other.keys() == {"valueCoding"} and isinstance(other["valueCoding"], Mapping):
        return same_coding(one["valueCoding"], other["valueCoding"])
    return one == other


def _head(item: Mapping[str, Any]) -> Json:
    return {"linkId": item["linkId"], "text": item.get("text", item["linkId"])}


def _list(holder: Mapping[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []
