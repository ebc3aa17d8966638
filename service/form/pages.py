"""The pages of an adaptive form: the questions of a few criteria each, in the policy's order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from service.form.questionnaire import Form
from service.policy.model import LinkId, Pathway

# Few enough to take in at once, and the questions of one criterion are never torn apart.
MOST_QUESTIONS: Final = 4


def pages(form: Form, pathway: Pathway) -> tuple[tuple[LinkId, ...], ...]:
    """Every question of the form once; criteria in the pathway's order, each with the items that support it."""
    by_criterion: dict[int, list[LinkId]] = {}
    for link_id, number in _criteria(form, pathway).items():
        by_criterion.setdefault(number, []).append(link_id)
    made: list[list[LinkId]] = []
    for _, link_ids in sorted(by_criterion.items()):
        if made and len(made[-1]) + len(link_ids) <= MOST_QUESTIONS:
            made[-1] += link_ids
        else:
            made.append(link_ids)
    return tuple(tuple(page) for page in made)


def _criteria(form: Form, pathway: Pathway) -> dict[LinkId, int]:
    """Each question's criterion by its place in the pathway, in the form's order of questions."""
    named = {
        link_id: number
        for number, criterion in reversed(list(enumerate(pathway.criteria)))
        for link_id in criterion.link_ids
    }
    order = list(form.questions)
    last = len(pathway.criteria)
    return {
        link_id: named[link_id] if link_id in named else _supported(form, link_id, order, named, last)
        for link_id in order
    }


def _supported(form: Form, link_id: LinkId, order: list[LinkId], named: Mapping[LinkId, int], last: int) -> int:
    """The criterion that a further question supports: of what it hangs on, else of its neighbours in its group."""
    needed = [c.question for holder in form.holders(link_id) for c in form.conditions[holder]]
    for question in (*needed, *form.questions[link_id].parents):
        if question in named:
            return named[question]
    around = form.around[link_id]
    place = order.index(link_id)
    neighbours = [*order[place:], *reversed(order[:place])]
    return next((named[each] for each in neighbours if each in named and form.around[each] == around), last)
