"""The posted form read into answers: each of its question's type, with what was wrong or left open."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from service.demo.prefill import Prefilled
from service.demo.questions import Item, questions
from service.fhir.build import Json, prune
from service.form.enable import is_enabled
from service.form.questionnaire import Form
from service.policy.model import LinkId

ANSWER: Final = "answer:"
OTHER: Final = "other:"
UNIT: Final = "unit:"
_PARTIAL_DATE: Final = re.compile(r"[0-9]{4}(-(0[1-9]|1[0-2]))?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,10}")
# A FHIR decimal in a form field: nobody types more digits, and an exponent is a slip of the finger.
_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,18}([.][0-9]{1,18})?")
_MAX_INTEGER: Final = 2**31

Fields = Mapping[str, Sequence[str]]
"""A posted form: field name to its values, in order."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Answers that count by linkId, faults in words by linkId, and required questions without an answer."""

    answers: Mapping[str, tuple[Json, ...]]
    faults: Mapping[str, str]
    unanswered: tuple[str, ...]

    def holds_back(self, *, incomplete: bool) -> bool:
        """Whether it must not be sent yet; `incomplete` sends with required questions left open."""
        return bool(self.faults) or (bool(self.unanswered) and not incomplete)


class _Fault(ValueError):
    """What the person should type instead."""


def read_posted(items: Sequence[Item], form: Form, fields: Fields, prefilled: Mapping[str, Prefilled]) -> Posted:
    """Reads every question. Answers to questions that are not asked (enableWhen) are left out."""
    answers: dict[str, tuple[Json, ...]] = {}
    faults: dict[str, str] = {}
    for item in questions(items):
        if not item.is_editable:
            if item.link_id in prefilled:
                answers[item.link_id] = prefilled[item.link_id].values
            continue
        try:
            values = _values(item, fields)
        except _Fault as fault:
            faults[item.link_id] = str(fault)
            continue
        if values:
            answers[item.link_id] = values
    asked = asked_questions(form, answers)
    kept = {link_id: values for link_id, values in answers.items() if link_id in asked}
    unanswered = tuple(
        item.link_id
        for item in questions(items)
        if item.required and item.is_editable and item.link_id in asked
        if item.link_id not in kept and item.link_id not in faults
    )
    return Posted(kept, {key: text for key, text in faults.items() if key in asked}, unanswered)


def asked_questions(form: Form, answers: Mapping[str, tuple[Json, ...]]) -> frozenset[str]:
    """The linkIds of questions that are asked, given the answers."""
    plain = {LinkId(link_id): next(iter(values[0].values())) for link_id, values in answers.items() if values}
    return frozenset(link_id for link_id in form.questions if is_enabled(form, link_id, plain))


def _values(item: Item, fields: Fields) -> tuple[Json, ...]:
    given = [text.strip() for text in fields.get(ANSWER + item.link_id, ())]
    if item.kind in ("choice", "open-choice"):
        return _chosen(item, given, [text.strip() for text in fields.get(OTHER + item.link_id, ())])
    if item.repeats:
        given = [line.strip() for text in given for line in text.splitlines()]
    texts = [text for text in given if text]
    if not item.repeats and len(texts) > 1:
        raise _Fault("Give one answer.")
    if item.kind == "quantity":
        return tuple(_quantity(item, text, fields) for text in texts)
    return tuple(_read(item, text) for text in texts)


def _chosen(item: Item, given: Sequence[str], other: Sequence[str]) -> tuple[Json, ...]:
    values = []
    for text in filter(None, given):
        if not text.isascii() or not text.isdigit() or int(text) >= len(item.options):
            raise _Fault("Choose one of the answers offered.")
        values.append(item.options[int(text)].value)
    if item.kind == "open-choice":
        values.extend({"valueString": text} for text in other if text)
    if len(values) > 1 and not item.repeats:
        raise _Fault("Give one answer.")
    return tuple(values)


def _quantity(item: Item, text: str, fields: Fields) -> Json:
    number = _decimal(text)
    chosen = next(iter(fields.get(UNIT + item.link_id, ())), "").strip()
    if item.units:
        if not chosen.isascii() or not chosen.isdigit() or int(chosen) >= len(item.units):
            raise _Fault("Choose a unit.")
        unit = item.units[int(chosen)].value["valueCoding"]
        named = {"unit": unit.get("display") or unit.get("code"), "system": unit.get("system")}
        return {"valueQuantity": prune({"value": number, **named, "code": unit.get("code")})}
    return {"valueQuantity": prune({"value": number, "unit": chosen or None})}


def _read(item: Item, text: str) -> Json:
    if item.max_length is not None and len(text) > item.max_length:
        raise _Fault(f"Use at most {item.max_length} characters.")
    element, read = _READERS[item.kind]
    return {element: read(text)}


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise _Fault("Choose Yes or No, or leave it open.")
    return text == "true"


def _date(text: str) -> str:
    if _PARTIAL_DATE.fullmatch(text):
        return text
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise _Fault("Give a date as year-month-day, for example 1958-02-03.") from None


def _date_time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _Fault("Give date and time, for example 2026-05-04T09:30.") from None
    return moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}Z"


def _time(text: str) -> str:
    try:
        return time.fromisoformat(text).replace(tzinfo=None).isoformat(timespec="seconds")
    except ValueError:
        raise _Fault("Give a time, for example 09:30.") from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or abs(int(text)) >= _MAX_INTEGER:
        raise _Fault("Give a whole number.")
    return int(text)


def _decimal(text: str) -> Decimal:
    if not _DECIMAL.fullmatch(text):
        raise _Fault("Give a number, for example 72.5.")
    return Decimal(text)


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "boolean": ("valueBoolean", _boolean),
    "date": ("valueDate", _date),
    "dateTime": ("valueDateTime", _date_time),
    "time": ("valueTime", _time),
    "integer": ("valueInteger", _integer),
    "decimal": ("valueDecimal", _decimal),
    "string": ("valueString", str),
    "text": ("valueString", str),
    "url": ("valueUri", str),
}
