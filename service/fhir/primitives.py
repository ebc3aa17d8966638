"""Checks of single FHIR R4 primitive values; a problem's text never repeats the value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

# Returns None for a good value, else (FHIR issue code, problem).
Check = Callable[[object], tuple[str, str] | None]

_SHAPES = {
    "boolean": "true or false",
    "code": "a code: no spaces at the ends, none doubled",
    "date": "a date: YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "a dateTime: YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with a zone",
    "id": "an id: 1 to 64 letters, digits, hyphens and dots",
    "instant": "an instant: YYYY-MM-DDThh:mm:ss with a zone",
    "time": "a time: hh:mm:ss",
    "xhtml": "an XHTML <div>",
}
_INT32 = 2**31
_DAY = len("YYYY-MM-DD")
_BASE64_GROUP = 4


def compile_checks(primitives: Mapping[str, Mapping[str, Any]]) -> dict[str, Check]:
    """Return type name -> check, from the tables' {"json", "pattern"?, "dated"?} per primitive type."""
    return {name: _compile(name, rules) for name, rules in primitives.items()}


def _compile(name: str, rules: Mapping[str, Any]) -> Check:
    pattern = re.compile(rules.get("pattern", ""))
    match rules["json"]:
        case "boolean":
            return _boolean
        case "integer":
            return _integer(name, pattern)
        case "number":
            return _number
        case "base64":
            return _base64(pattern)
        case _:
            return _dated(name, pattern) if rules.get("dated") else _string(name, pattern)


def _boolean(value: object) -> tuple[str, str] | None:
    return None if value is True or value is False else ("structure", "must be the JSON literal true or false")


def _integer(name: str, pattern: re.Pattern[str]) -> Check:
    shape = pattern.fullmatch

    def check(value: object) -> tuple[str, str] | None:
        if type(value) is not int:
            return "structure", "must be a JSON number without fraction or exponent"
        if not -_INT32 <= value < _INT32 or shape(str(value)) is None:
            return "value", f"is outside the range of {name}"
        return None

    return check


def _number(value: object) -> tuple[str, str] | None:
    if type(value) is int:
        return None
    if isinstance(value, Decimal):
        return None if value.is_finite() else ("value", "must be a finite number")
    if isinstance(value, float):
        return None if math.isfinite(value) else ("value", "must be a finite number")
    return "structure", "must be a JSON number"


def _string(name: str, pattern: re.Pattern[str]) -> Check:
    shape = pattern.fullmatch
    wanted = _SHAPES.get(name)
    problem = f"is not {wanted}" if wanted else f"has characters that {name} does not allow"

    def check(value: object) -> tuple[str, str] | None:
        if type(value) is not str:
            return "structure", "must be a JSON string"
        if shape(value) is None:
            return "value", problem if value else "is empty: leave the element out"
        return None

    return check


def _dated(name: str, pattern: re.Pattern[str]) -> Check:
    shaped = _string(name, pattern)

    def check(value: object) -> tuple[str, str] | None:
        found = shaped(value)
        if found is None and isinstance(value, str) and len(value) >= _DAY:
            try:
                date.fromisoformat(value[:_DAY])
            except ValueError:
                return "value", "is a day that the calendar does not have"
        return found

    return check


def _base64(pattern: re.Pattern[str]) -> Check:
    shape = pattern.fullmatch

    def check(value: object) -> tuple[str, str] | None:
        if type(value) is not str:
            return "structure", "must be a JSON string"
        text = value if shape(value) is not None else "".join(value.split())
        if len(text) % _BASE64_GROUP or shape(text) is None:
            return "value", "is not base64"
        return None

    return check
