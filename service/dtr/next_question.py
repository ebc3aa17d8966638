"""$next-question: the next few questions of an adaptive form, from nothing but the response that was sent.

Nothing is kept between calls (2.2.0 sec-10). The contained Questionnaire is made anew from our form each time: of
the one that was sent only its canonical and the linkIds already asked count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.dtr.adaptive import AdaptiveForm
from service.dtr.shelf import Shelf
from service.errors import Fault, InvalidResource, MissingElement, UnresolvedReference
from service.fhir.build import Json
from service.form.adaptive import contained_form, derived_from
from service.form.answers import Reading, read_answers
from service.form.enable import has_place, is_enabled
from service.form.questionnaire import Form
from service.form.validate import ERROR, AnswerFinding, validate
from service.policy.model import LinkId
from service.ports import Resource

# DTR 2.2.0 and SDC name the parameter so; DTR's text and older clients have the shorter forms.
_PARAMETERS: Final = frozenset({"questionnaire-response", "questionnaire-response-in", "in"})


def received_response(body: Resource) -> Resource:
    """The QuestionnaireResponse of the body: bare, or the one parameter of Parameters.

    Raises MissingElement without one, InvalidResource with several.
    """
    if body.get("resourceType") == "QuestionnaireResponse":
        return body
    sent = [
        parameter["resource"]
        for parameter in body.get("parameter") or ()
        if parameter.get("name") in _PARAMETERS and isinstance(parameter.get("resource"), Mapping)
    ]
    if not sent:
        raise MissingElement(
            "Parameters has no resource named questionnaire-response. Send the QuestionnaireResponse there, or bare.",
            expression=("Parameters.parameter",),
        )
    if len(sent) > 1 or sent[0].get("resourceType") != "QuestionnaireResponse":
        raise InvalidResource(
            "questionnaire-response must be one QuestionnaireResponse.",
            expression=("Parameters.parameter.where(name='questionnaire-response')",),
        )
    response: Resource = sent[0]
    return response


def next_questions(response: Resource, shelf: Shelf) -> Json:
    """The response with the next questions in its contained Questionnaire; completed when none is left.

    Raises UnresolvedReference when it is derived from no adaptive form of ours, InvalidResource (spec-147) with one
    fault for each answer that is wrong, and for each question already asked that needs an answer and has none.
    """
    held = contained_form(response)
    canonical = derived_from(response)
    adaptive = shelf.adaptive(canonical) if canonical else None
    if held is None or adaptive is None:
        raise UnresolvedReference(
            "The response must name a contained Questionnaire that is derivedFrom an adaptive form of ours. "
            "Start from the response in the package of that form.",
            expression=("QuestionnaireResponse.questionnaire",),
        )
    form = adaptive.form
    reading = read_answers(form, response, adaptive.attested)
    asked = frozenset(_link_ids(held)) | frozenset(_link_ids(response))
    asked &= form.questions.keys()
    # What the package itself showed has not been asked for yet by the first call.
    opening = not reading.answers and asked <= frozenset(adaptive.prefillable())
    _require_valid(adaptive, response, frozenset() if opening else asked)
    kept = _placed(adaptive, asked, reading)
    fresh = _next_page(adaptive, kept, reading)
    contained = adaptive.so_far((*kept, *fresh), str(held["id"]))
    others = [each for each in response["contained"] if each is not held]
    return {
        **response,
        "contained": [contained, *others],
        "status": "in-progress" if fresh else "completed",
        **_items(form, response, reading),
    }


def _require_valid(adaptive: AdaptiveForm, response: Resource, asked: frozenset[LinkId]) -> None:
    found = validate(adaptive.form, response, attested=adaptive.attested, asked=asked)
    faults = tuple(Fault(each.expression, _problem(each), each.code) for each in found if each.severity == ERROR)
    if faults:
        raise InvalidResource(
            "The response has answers that are wrong or missing.",
            expression=tuple(fault.expression for fault in faults),
            faults=faults,
        )


def _problem(found: AnswerFinding) -> str:
    named = f"({found.link_id}): " if found.link_id else ": "
    return named + found.text.removesuffix(".")


@dataclass(frozen=True, slots=True)
class _Asking:
    """Which questions may stand in the contained Questionnaire, by the version's rule."""

    adaptive: AdaptiveForm
    reading: Reading

    def fit(self, wanted: Collection[LinkId], beside: Collection[LinkId]) -> tuple[LinkId, ...]:
        """Those of `wanted` that may be asked beside the others, in the form's order."""
        form = self.adaptive.form
        if not self.adaptive.shape.enable_when_in_adaptive:
            # Without enableWhen a question is there only when it is to be answered.
            return tuple(q for q in form.questions if q in wanted and has_place(form, q, self.reading.answers))
        left = [q for q in form.questions if q in wanted]
        while True:
            there = {*beside, *left}
            fitting = [q for q in left if _needed(form, q) <= there]
            if fitting == left:
                return tuple(left)
            left = fitting


def _needed(form: Form, link_id: LinkId) -> set[LinkId]:
    """The questions that must be in a form for this one's enableWhen, and place, to mean something."""
    conditions = {c.question for holder in form.holders(link_id) for c in form.conditions[holder]}
    return {q for q in (*conditions, *form.questions[link_id].parents) if q in form.questions}


def _placed(adaptive: AdaptiveForm, asked: frozenset[LinkId], reading: Reading) -> tuple[LinkId, ...]:
    return _Asking(adaptive, reading).fit(asked, ())


def _next_page(adaptive: AdaptiveForm, kept: tuple[LinkId, ...], reading: Reading) -> tuple[LinkId, ...]:
    """The first page with something to ask: an unmet answer never ends the form, a reviewer needs the rest."""
    asking = _Asking(adaptive, reading)
    for page in adaptive.pages:
        fresh = asking.fit([q for q in page if q not in kept], kept)
        if any(_may_be_answered(adaptive, q, reading, fresh) for q in fresh):
            return fresh
    return ()


def _may_be_answered(adaptive: AdaptiveForm, link_id: LinkId, reading: Reading, beside: tuple[LinkId, ...]) -> bool:
    """Whether it is asked now, or may be after an answer on the same page."""
    form = adaptive.form
    return is_enabled(form, link_id, reading.answers) or bool(_needed(form, link_id) & set(beside))


def _items(form: Form, response: Resource, reading: Reading) -> Json:
    """The items as received, without answers to questions that the other answers have disabled."""
    kept = [item for each in response.get("item") or () if (item := _enabled(form, each, reading)) is not None]
    return {"item": kept} if kept else {}


def _enabled(form: Form, item: Mapping[str, Any], reading: Reading) -> Json | None:
    link_id = item.get("linkId")
    if link_id in form.questions and not is_enabled(form, LinkId(str(link_id)), reading.answers):
        return None
    copied = dict(item)
    if "item" in item:
        inner = [each for part in item["item"] if (each := _enabled(form, part, reading)) is not None]
        copied["item"] = inner
        if not inner:
            del copied["item"]
    if "answer" in item:
        copied["answer"] = [_below(form, answer, reading) for answer in item["answer"]]
    return copied


def _below(form: Form, answer: Mapping[str, Any], reading: Reading) -> Json:
    copied = dict(answer)
    inner = [each for part in copied.pop("item", ()) if (each := _enabled(form, part, reading)) is not None]
    return {**copied, "item": inner} if inner else copied


def _link_ids(holder: Mapping[str, Any]) -> Iterator[LinkId]:
    for item in holder.get("item") or ():
        yield LinkId(str(item.get("linkId")))
        yield from _link_ids(item)
        for answer in item.get("answer") or ():
            yield from _link_ids(answer)
