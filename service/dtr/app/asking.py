"""An adaptive form on somebody's screen: the payer's $next-question decides what is asked next, a few at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.dtr.adaptive import AdaptiveForm
from service.dtr.app.display import every_item
from service.dtr.merging import answered, merged
from service.dtr.next_question import next_questions
from service.dtr.shelf import Shelf
from service.errors import InvalidResource
from service.fhir.build import Json
from service.form.adaptive import contained_form
from service.form.questionnaire import read_form
from service.policy.model import LinkId
from service.ports import Resource


@dataclass(frozen=True, slots=True)
class Asking:
    """How far an adaptive form has come. `canonical` is the adaptive form's own.

    `prefilled` is what the records and the payer answer, also of what is not yet asked; `fresh` the questions that
    were asked last; `complete` says that all are on the screen.
    """

    canonical: str
    prefilled: tuple[Json, ...]
    fresh: tuple[str, ...] = ()
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What is on the screen then: the form so far, its answers, and the response that both belong to."""

    questionnaire: Resource
    items: tuple[Json, ...]
    skeleton: Json
    asking: Asking


def taken_up(skeleton: Json, draft: Resource, adaptive: AdaptiveForm, prefilled: tuple[Json, ...]) -> Asked | None:
    """A draft as far as it came; None where it asked nothing. Of its form only the linkIds count (2.2.0 sec-10)."""
    held = contained_form(draft) or {}
    there = {item["linkId"] for holder in (held, draft) for item in every_item(holder) if "linkId" in item}
    asked = [link_id for link_id in adaptive.form.questions if link_id in there]
    if not asked:
        return None
    form, written = _so_far(skeleton, adaptive, asked)
    every = len(asked) == len(adaptive.form.questions)
    return Asked(form, tuple(draft.get("item") or ()), written, Asking(adaptive.base, prefilled, complete=every))


def begun(skeleton: Json, adaptive: AdaptiveForm, prefilled: tuple[Json, ...], shelf: Shelf) -> Asked:
    """The first questions, and those after them as far as the records answer."""
    _, written = _so_far(skeleton, adaptive, ())
    return asked_next({**written, "status": "in-progress"}, Asking(adaptive.base, prefilled), shelf)


def asked_next(response: Json, asking: Asking, shelf: Shelf) -> Asked:
    """What is asked after these answers; a page that the records answer whole is passed, and stays on the screen.

    InvalidResource when an answer is wrong, or one is missing.
    """
    now = _step(response, asking, shelf)
    fresh = now.asking.fresh
    while not now.asking.complete and set(now.asking.fresh) <= answered(now.items):
        try:
            now = _step({**now.skeleton, "item": list(now.items)}, asking, shelf)
        except InvalidResource:
            break
        fresh += now.asking.fresh
    left = tuple(link_id for link_id in fresh if link_id not in answered(now.items))
    asking = Asking(asking.canonical, asking.prefilled, left, now.asking.complete)
    return Asked(now.questionnaire, now.items, now.skeleton, asking)


def _step(response: Json, asking: Asking, shelf: Shelf) -> Asked:
    before = _questions(contained_form(response) or {})
    answer = next_questions({**response, "status": "in-progress"}, shelf)
    form = contained_form(answer) or {}
    fresh = tuple(link_id for link_id in _questions(form) if link_id not in before)
    of_fresh = _only(asking.prefilled, frozenset(fresh))
    items = merged(form, answer.get("item") or (), of_fresh)
    skeleton = {name: value for name, value in answer.items() if name not in ("item", "status")}
    adaptive = shelf.adaptive(asking.canonical)
    every = adaptive is not None and set(_questions(form)) >= {str(each) for each in adaptive.form.questions}
    complete = every or answer["status"] == "completed"
    return Asked(form, items, skeleton, Asking(asking.canonical, asking.prefilled, fresh, complete))


def _so_far(skeleton: Json, adaptive: AdaptiveForm, asked: Sequence[LinkId]) -> tuple[Resource, Json]:
    held = contained_form(skeleton) or {}
    form = adaptive.so_far(asked, str(held.get("id")))
    return form, {**{name: value for name, value in skeleton.items() if name != "item"}, "contained": [form]}


def _questions(form: Resource) -> tuple[str, ...]:
    return tuple(str(link_id) for link_id in read_form(form).questions) if form else ()


def _only(items: Sequence[Mapping[str, Any]], link_ids: frozenset[str]) -> list[Json]:
    """The items with answers to these questions alone."""
    kept: list[Json] = []
    for item in items:
        inner = _only(item.get("item") or (), link_ids)
        if item["linkId"] in link_ids or inner:
            others = {name: value for name, value in item.items() if name != "item"}
            kept.append({**others, **({"item": inner} if inner else {})})
    return kept
