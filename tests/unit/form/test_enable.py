"""When a question is asked."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from service.form.enable import is_enabled
from service.form.questionnaire import Form, read_form
from service.policy.model import LinkId

CODE = {"system": "s", "code": "x", "display": "X"}


def form(kind: str, *conditions: dict[str, Any], behavior: str | None = None) -> Form:
    asked: dict[str, Any] = {"linkId": "q", "type": "boolean", "text": "Q?", "enableWhen": list(conditions)}
    if behavior:
        asked["enableBehavior"] = behavior
    source = {"linkId": "s", "type": kind, "text": "S?"}
    other = {"linkId": "t", "type": "boolean", "text": "T?"}
    return read_form({"url": "u", "item": [source, other, asked]})


def when(operator: str, expected: Any, question: str = "s") -> dict[str, Any]:
    return {"question": question, "operator": operator, "answerX": expected}


@pytest.mark.parametrize(
    ("kind", "operator", "expected", "given", "enabled"),
    [
        ("boolean", "=", True, True, True),
        ("boolean", "=", True, False, False),
        ("boolean", "=", True, None, False),
        ("boolean", "!=", True, False, True),
        ("boolean", "!=", True, None, False),
        ("boolean", "exists", True, None, False),
        ("boolean", "exists", True, False, True),
        ("boolean", "exists", False, None, True),
        ("boolean", "exists", False, True, False),
        ("choice", "=", CODE, {"system": "s", "code": "x"}, True),
        ("choice", "=", CODE, {"system": "other", "code": "x"}, False),
        ("integer", ">", 3, 4, True),
        ("integer", ">", 3, 3, False),
        ("integer", ">=", 3, 3, True),
        ("integer", "<", 3, 3, False),
        ("integer", "<=", 3, 3, True),
        ("decimal", "<", Decimal("1.5"), Decimal("1.4"), True),
        ("date", ">", "2026-01-01", "2026-01-02", True),
        ("integer", "=", 1, True, False),
        ("string", ">", 3, "4", False),
    ],
)
def test_operators(kind: str, operator: str, expected: Any, given: Any, enabled: bool) -> None:
    answers = {} if given is None else {LinkId("s"): given}
    assert is_enabled(form(kind, when(operator, expected)), LinkId("q"), answers) is enabled


def test_all_conditions_or_any() -> None:
    both = (when("=", True), when("=", True, "t"))
    one = {LinkId("s"): True}
    assert not is_enabled(form("boolean", *both), LinkId("q"), one)
    assert is_enabled(form("boolean", *both, behavior="any"), LinkId("q"), one)


def test_a_question_in_a_group_that_is_not_shown_is_not_asked() -> None:
    group = {
        "linkId": "g",
        "type": "group",
        "enableWhen": [when("=", True)],
        "item": [{"linkId": "q", "type": "boolean", "text": "Q?"}],
    }
    nested = read_form({"url": "u", "item": [{"linkId": "s", "type": "boolean", "text": "S?"}, group]})
    assert not is_enabled(nested, LinkId("q"), {})
    assert is_enabled(nested, LinkId("q"), {LinkId("s"): True})
