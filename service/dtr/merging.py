"""Answers from two places in one response: where the first has none, the second's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from service.fhir.build import Json
from service.ports import Resource

_Items = Sequence[Mapping[str, Any]]


def merged(questionnaire: Resource, first: _Items, second: _Items) -> tuple[Json, ...]:
    """QuestionnaireResponse.item of the form, question by question; rows of a repeating group all of one place."""
    return tuple(_level(questionnaire.get("item") or (), first, second))


def answered(items: _Items) -> frozenset[str]:
    """The linkIds of the questions that have an answer."""
    found: set[str] = set()
    for item in items:
        answers = item.get("answer") or ()
        if answers:
            found.add(str(item["linkId"]))
        found |= answered(item.get("item") or ())
        for answer in answers:
            found |= answered(answer.get("item") or ())
    return frozenset(found)


def _level(asked: _Items, first: _Items, second: _Items) -> list[Json]:
    written: list[Json] = []
    for item in asked:
        one, other = _of(first, item), _of(second, item)
        if item["type"] == "group" and not item.get("repeats"):
            inner = _level(item.get("item") or (), _inside(one), _inside(other))
            if inner:
                written.append({"linkId": item["linkId"], "text": item.get("text", item["linkId"]), "item": inner})
        elif item["type"] != "display":
            written += [dict(each) for each in (one if answered(one) or not other else other)]
    return written


def _of(items: _Items, item: Mapping[str, Any]) -> _Items:
    return [each for each in items if each.get("linkId") == item["linkId"]]


def _inside(groups: _Items) -> _Items:
    return [each for group in groups for each in group.get("item") or ()]
