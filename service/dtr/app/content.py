"""What the form page shows beside each question: why it is asked, and where its answer came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from service.dtr.app.criteria import CriterionState, questions_of
from service.dtr.app.display import help_texts, is_whole_date
from service.dtr.app.opening import Opened, person_name
from service.dtr.app.stamping import partial_dates
from service.policy.model import LinkId
from service.ports import Resource


@dataclass(frozen=True, slots=True)
class Source:
    """A record behind an answer, with its address in the EHR when it can be looked at there."""

    kind: str
    shown: str
    address: str | None


@dataclass(frozen=True, slots=True)
class About:
    """One question: the criteria that it serves, help where it serves none, records, and a word on them.

    `partial` is a date without its day that stands in the form unseen: the user may have it removed.
    """

    link_id: str
    why: tuple[tuple[str, str], ...]
    help: tuple[str, ...]
    sources: tuple[Source, ...]
    remark: str
    partial: str = ""


def about(opened: Opened, states: Sequence[CriterionState], answered: frozenset[str]) -> tuple[About, ...]:
    """Every question of the form, in its order. `answered` are those that the record filled."""
    serving = questions_of(states)
    helps = help_texts(opened.questionnaire)
    partial = partial_dates(opened.items)
    return tuple(
        About(
            link_id=str(link_id),
            why=tuple((state.text, state.citation) for state in serving.get(link_id, ())),
            help=() if link_id in serving else helps.get(link_id, ()),
            sources=tuple(
                Source(each.source, each.shown, _address(opened.base, each.reference))
                for each in opened.evidence.get(link_id, ())
            ),
            remark=_remark(opened, str(link_id), answered),
            partial=partial.get(str(link_id), ""),
        )
        for link_id in opened.form.questions
    )


def patient_line(patient: Resource) -> str:
    """Who the form is about, as a header says it."""
    born = patient.get("birthDate")
    return ", ".join(part for part in (person_name(patient), f"born {born}" if born else "") if part)


def order_line(order: Resource) -> str:
    """What is ordered, in the order's own words."""
    for name in ("medicationCodeableConcept", "code", "codeCodeableConcept"):
        concept = order.get(name)
        if isinstance(concept, dict):
            coded = next((c.get("display") or c.get("code") for c in concept.get("coding") or ()), None)
            return str(concept.get("text") or coded or "")
    return str((order.get("medicationReference") or {}).get("display") or order.get("resourceType"))


def _remark(opened: Opened, link_id: str, answered: frozenset[str]) -> str:
    """Why the records that speak to a question leave it open, or what stands in the form and cannot be shown."""
    partial = partial_dates(opened.items).get(link_id)
    if partial:
        said = "draft" if opened.draft else "record"
        return f"The {said} says {partial}, and so will the request. Type the full date if you know it."
    found = [each.shown for each in opened.evidence.get(LinkId(link_id), ())]
    if not found or link_id in answered:
        return ""
    question = opened.form.questions[LinkId(link_id)]
    if question.type == "date" and any(not is_whole_date(shown) for shown in found):
        return "The record does not give the day. Type the full date if you know it."
    return "The records do not settle this. Please answer."


def _address(base: str, reference: str | None) -> str | None:
    """Only Type/id below the EHR's base: a record's text may say anything."""
    steps = (reference or "").split("/")
    plain = len(steps) == 2 and all(step.replace("-", "").replace(".", "").isalnum() for step in steps)
    return f"{base}/{quote(steps[0])}/{quote(steps[1])}" if plain else None
