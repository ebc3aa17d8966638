"""Which questions are asked, given the answers so far (Questionnaire.item.enableWhen)."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

from service.form.questionnaire import Condition, Form
from service.policy.model import LinkId

_ORDER: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def is_enabled(form: Form, link_id: LinkId, answers: Mapping[LinkId, Any]) -> bool:
    """Whether the question is asked: it and every item around it are enabled.

    A question that depends on one without a counting answer is not asked (the specification's reading of a
    missing answer), whatever the operator, except `exists`.
    """
    return all(_holds(form, holder, answers) for holder in form.holders(link_id))


def has_place(form: Form, link_id: LinkId, answers: Mapping[LinkId, Any]) -> bool:
    """Whether it is asked, and every question around it is answered: its answer stands inside theirs."""
    around = form.questions[link_id].parents
    return is_enabled(form, link_id, answers) and all(p in answers for p in around if p in form.questions)


def same_coding(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Codings are compared by system and code; a display or a version says nothing more."""
    return (one.get("system"), one.get("code")) == (other.get("system"), other.get("code"))


def _holds(form: Form, link_id: LinkId, answers: Mapping[LinkId, Any]) -> bool:
    conditions = form.conditions[link_id]
    if not conditions:
        return True
    results = [_meets(form, condition, answers) for condition in conditions]
    return any(results) if link_id in form.any_of else all(results)


def _meets(form: Form, condition: Condition, answers: Mapping[LinkId, Any]) -> bool:
    asked = condition.question not in form.questions or is_enabled(form, condition.question, answers)
    given = answers.get(condition.question) if asked else None
    if condition.operator == "exists":
        return (given is not None) is bool(condition.expected)
    # Of several answers one that fits is enough (R4 Questionnaire.item.enableWhen.operator).
    each = given if isinstance(given, list) else [] if given is None else [given]
    return any(_compares(value, condition) for value in each)


def _compares(given: Any, condition: Condition) -> bool:
    if condition.operator == "=":
        return _same(given, condition.expected)
    if condition.operator == "!=":
        return not _same(given, condition.expected)
    compare = _ORDER.get(condition.operator)
    return compare is not None and type(given) is type(condition.expected) and compare(given, condition.expected)


def _same(given: Any, expected: Any) -> bool:
    if isinstance(given, Mapping) and isinstance(expected, Mapping):
        return same_coding(given, expected)
    return type(given) is type(expected) and bool(given == expected)
