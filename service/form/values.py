"""Whether one answer is one that a question takes: its type, its options, its length."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from service.form.enable import same_coding
from service.form.questionnaire import Option, Question
from service.policy.dates import PartialDate

_TIME: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?")
_MOMENT: Final = re.compile(r"\d{4}(-\d\d(-\d\d(T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?(Z|[+-]\d\d:\d\d))?)?)?")


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a value is no answer to a question: the FHIR issue code, and words that never repeat the value."""

    code: str
    problem: str


def values_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in the answer's value[x], by element; more than one where it was filled twice."""
    return {key: value for key, value in answer.items() if key.startswith("value") and value is not None}


def unfit(question: Question, values: Mapping[str, Any]) -> Unfit | None:
    """Why these value[x] of one answer do not answer the question, or None. `values` is not empty."""
    if len(values) > 1:
        return Unfit("structure", "has two values in one answer")
    element, value = next(iter(values.items()))
    if element not in question.value_elements or not _SHAPES[element](value):
        return Unfit("value", f"is not answered with {_WORDS.get(question.type, 'a value of its type')}")
    if question.max_length is not None and isinstance(value, str) and len(value) > question.max_length:
        return Unfit("too-long", f"has an answer longer than {question.max_length} characters")
    free = question.type == "open-choice" and element == "valueString"
    if question.options is not None and not free and not _offered(element, value, question.options):
        return Unfit("code-invalid", "has an answer that is not among the offered ones")
    return None


def _offered(element: str, value: Any, options: tuple[Option, ...]) -> bool:
    return any(
        option.element == element
        and (same_coding(value, option.value) if isinstance(value, Mapping) else value == option.value)
        for option in options
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _some(*members: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, Mapping) and any(value.get(member) is not None for member in members)


def _date(value: Any) -> bool:
    return isinstance(value, str) and "T" not in value and PartialDate.parse(value) is not None


def _moment(value: Any) -> bool:
    return isinstance(value, str) and _MOMENT.fullmatch(value) is not None and PartialDate.parse(value) is not None


_SHAPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "valueBoolean": lambda value: isinstance(value, bool),
    "valueDecimal": _number,
    "valueInteger": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "valueDate": _date,
    "valueDateTime": _moment,
    "valueTime": lambda value: isinstance(value, str) and _TIME.fullmatch(value) is not None,
    "valueString": _text,
    "valueUri": _text,
    "valueCoding": _some("code", "display"),
    "valueAttachment": _some("data", "url", "contentType", "title"),
    "valueReference": _some("reference", "identifier", "display"),
    "valueQuantity": _some("value"),
}
_WORDS: Final = {
    "boolean": "yes or no",
    "decimal": "a number",
    "integer": "a whole number",
    "date": "a date of the calendar",
    "dateTime": "a date and time",
    "time": "a time of day",
    "string": "words",
    "text": "words",
    "url": "an address",
    "choice": "one of the offered answers",
    "open-choice": "one of the offered answers or words",
    "attachment": "a document",
    "reference": "a record",
    "quantity": "a number with its unit",
}
