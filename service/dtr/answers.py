"""CQL values as answers of a question's type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from service.form.questionnaire import Question
from service.policy.dates import PartialDate


def answer_values(question: Question, value: Any) -> tuple[Any, ...] | None:
    """The values of answer.value[x] that a CQL value gives; () for null.

    None when it is no answer of the question's type, or several where one is asked. A partial date stays partial.
    """
    listed = [each for each in value if each is not None] if isinstance(value, list) else [value]
    if not listed or listed == [None]:
        return ()
    convert = _CONVERT.get(question.type)
    if convert is None or (len(listed) > 1 and not question.repeats):
        return None
    converted = [convert(each) for each in listed]
    return None if any(each is None for each in converted) else tuple(converted)


def _boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None


def _integer(value: Any) -> int | None:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if whole and not isinstance(value, bool) else None


def _decimal(value: Any) -> Decimal | None:
    # The engine's decimals are JavaScript doubles: their shortest text is what CQL shows.
    return Decimal(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _date(value: Any) -> str | None:
    text = _typed(value, "Date", "DateTime")
    day = PartialDate.parse(text) if text else None
    return str(day) if day else None


def _date_time(value: Any) -> str | None:
    text = _typed(value, "DateTime", "Date")
    return text if text and PartialDate.parse(text) else None


def _coding(value: Any) -> dict[str, Any] | None:
    if isinstance(value, Mapping) and value.get("type") == "Concept" and len(value.get("codes") or ()) == 1:
        value = value["codes"][0]
    if not isinstance(value, Mapping) or value.get("type") != "Code":
        return None
    return {key: value[key] for key in ("system", "version", "code", "display") if value.get(key) is not None}


def _typed(value: Any, *types: str) -> str | None:
    found = value.get("value") if isinstance(value, Mapping) and value.get("type") in types else None
    return found if isinstance(found, str) else None


_CONVERT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "boolean": _boolean,
    "string": _text,
    "text": _text,
    "integer": _integer,
    "decimal": _decimal,
    "date": _date,
    "dateTime": _date_time,
    "choice": _coding,
    "open-choice": _coding,
}
