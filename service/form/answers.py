"""What counts as an answer in QuestionnaireResponses: doubt is unknown, never an error (contract.md)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from service.fhir.canonical import DTR_INFORMATION_ORIGIN
from service.form.enable import is_enabled
from service.form.questionnaire import Form, Question
from service.form.values import unfit, values_of
from service.policy.finding import Evidence
from service.policy.model import LinkId
from service.ports import Resource

SOURCE: Final = "QuestionnaireResponse"
NOT_ATTESTED: Final = "needs the prescriber's own answer; one filled automatically is none"
# A note quotes what was found; longer answers are cut there.
_SHOWN: Final = 200


@dataclass(frozen=True, slots=True)
class Reading:
    """Answers that count by linkId, doubts with what was found, questions asked and unanswered, and remarks.

    A value is what stood in the answer's value[x] (bool, str, Decimal, Coding as dict ...).
    """

    answers: Mapping[LinkId, Any]
    doubts: Mapping[LinkId, tuple[Evidence, ...]]
    missing: frozenset[LinkId]
    remarks: tuple[str, ...]


@dataclass
class _Draft:
    answers: dict[LinkId, Any] = field(default_factory=dict)
    doubts: dict[LinkId, tuple[Evidence, ...]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


def read_answers(form: Form, response: Resource, attested: frozenset[LinkId]) -> Reading:
    """Reads one response by linkId at any depth.

    `attested` are questions that only a person may answer: an answer filled automatically counts as none.
    """
    found = _by_link_id(response)
    draft = _Draft()
    for question in form.questions.values():
        _read_question(question, found.pop(question.link_id, []), question.link_id in attested, draft)
    unknown = [items for link_id, items in found.items() if link_id not in form.conditions]
    if any(item.get("answer") for items in unknown for item in items):
        draft.remarks.append("Answers to questions that the form does not have were ignored.")
    _drop_disabled(form, draft)
    missing = frozenset(
        link_id
        for link_id in form.questions
        if link_id not in draft.answers and link_id not in draft.doubts and is_enabled(form, link_id, draft.answers)
    )
    return Reading(draft.answers, draft.doubts, missing, tuple(draft.remarks))


def merge(readings: Iterable[Reading]) -> Reading:
    """Several counting responses as one: where they differ, the answer is in doubt."""
    everything = list(readings)
    merged = _Draft(remarks=list(dict.fromkeys(r for reading in everything for r in reading.remarks)))
    for link_id in dict.fromkeys(key for reading in everything for key in (*reading.answers, *reading.doubts)):
        values = [reading.answers[link_id] for reading in everything if link_id in reading.answers]
        doubts = tuple(item for reading in everything for item in reading.doubts.get(link_id, ()))
        differing = any(value != values[0] for value in values)
        if doubts or differing:
            merged.doubts[link_id] = doubts + tuple(_evidence(link_id, value) for value in values)
        else:
            merged.answers[link_id] = values[0]
    asked = frozenset().union(*(reading.missing for reading in everything)) if everything else frozenset()
    return Reading(
        merged.answers, merged.doubts, asked - merged.answers.keys() - merged.doubts.keys(), tuple(merged.remarks)
    )


def show(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, Mapping):
        parts = (value.get("display") or value.get("code") or value.get("value"), value.get("unit"))
        return " ".join(str(part) for part in parts if part is not None) or "a value of another kind"
    return str(value)


def _read_question(question: Question, items: list[Mapping[str, Any]], attested: bool, draft: _Draft) -> None:
    entries = [answer for item in items for answer in item.get("answer") or ()]
    valued = [(answer, values_of(answer)) for answer in entries]
    given = [(answer, values) for answer, values in valued if values]
    if attested and any(is_automatic(answer) for answer, _ in given):
        draft.remarks.append(f'"{question.text}" {NOT_ATTESTED}.')
        given = [(answer, values) for answer, values in given if not is_automatic(answer)]
    if not given and len(items) < 2:
        return
    sound = all(unfit(question, values) is None for _, values in given)
    if len(items) > 1 or not sound or (len(given) > 1 and not question.repeats):
        draft.doubts[question.link_id] = tuple(
            _evidence(question.link_id, value) for _, values in given for value in values.values()
        ) or (Evidence(SOURCE, question.link_id, "given more than once, without an answer"),)
    else:
        counted = [value for _, values in given for value in values.values()]
        draft.answers[question.link_id] = counted if question.repeats else counted[0]


def _drop_disabled(form: Form, draft: _Draft) -> None:
    """Takes out answers to questions that are not asked; repeated, since one may disable another."""
    while True:
        given = [*draft.answers, *draft.doubts]
        disabled = [link_id for link_id in given if not is_enabled(form, link_id, draft.answers)]
        if not disabled:
            return
        for link_id in disabled:
            draft.answers.pop(link_id, None)
            draft.doubts.pop(link_id, None)
            draft.remarks.append(f'The answer to "{form.questions[link_id].text}" was ignored: it is not asked here.')


def _by_link_id(response: Resource) -> defaultdict[LinkId, list[Mapping[str, Any]]]:
    found: defaultdict[LinkId, list[Mapping[str, Any]]] = defaultdict(list)
    for item in _items(response):
        found[LinkId(str(item.get("linkId")))].append(item)
    return found


def _items(holder: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for item in holder.get("item") or ():
        yield item
        yield from _items(item)
        for answer in item.get("answer") or ():
            yield from _items(answer)


def is_automatic(answer: Mapping[str, Any]) -> bool:
    """Whether information-origin says that nobody typed it (auto in DTR 2.0.1; auto-client, auto-server in 2.2.0)."""
    return any(
        part.get("url") == "source" and str(part.get("valueCode", "")).startswith("auto")
        for extension in answer.get("extension") or ()
        if extension.get("url") == DTR_INFORMATION_ORIGIN
        for part in extension.get("extension") or ()
    )


def _evidence(link_id: LinkId, value: Any) -> Evidence:
    shown = show(value)
    return Evidence(SOURCE, link_id, shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}\u2026")
