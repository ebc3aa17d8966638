"""The QuestionnaireResponse that the clinic sends, every answer saying where it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.demo.chart import Chart, person_name
from service.demo.payer import Guides
from service.demo.prefill import Prefilled
from service.demo.questions import Item
from service.dtr.app.claim_parts import instant
from service.fhir import canonical
from service.fhir.build import Json, code_concept, extension, nested_extension, prune, reference


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as the clinician leaves it: the form, what stands in it, and what stood in it before."""

    questionnaire: Json
    items: Sequence[Item]
    answers: Mapping[str, tuple[Json, ...]]
    prefilled: Mapping[str, Prefilled]


def questionnaire_response(filled: Filled, chart: Chart, guides: Guides, made: tuple[str, datetime]) -> Json:
    """The completed response (DTR dtr-questionnaireresponse); `made` is its id and when it was written."""
    response_id, authored = made
    form = filled.questionnaire
    author = reference(f"Practitioner/{chart.practitioner['id']}")
    written: Json = prune(
        {
            "resourceType": "QuestionnaireResponse",
            "id": response_id,
            "meta": {"profile": [canonical.DTR_QUESTIONNAIRE_RESPONSE]},
            "extension": _extensions(chart, guides),
            "questionnaire": canonical.versioned(form["url"], form.get("version")),
            "status": "completed",
            "subject": reference(f"Patient/{chart.patient['id']}"),
            "authored": instant(authored),
            "author": {**author, "display": person_name(chart.practitioner)},
            "item": _items(filled.items, filled, _Stamp(guides, author)),
        }
    )
    return written


@dataclass(frozen=True, slots=True)
class _Stamp:
    """information-origin of an answer (dtrx-1: a person is named exactly when a person gave it)."""

    guides: Guides
    author: Json

    def on(self, value: Json, before: Prefilled | None) -> Json:
        if before is not None and value in before.values:
            return nested_extension(canonical.DTR_INFORMATION_ORIGIN, extension("source", valueCode=before.origin))
        source = "manual" if before is None else "override"
        by = {"url": "author", "extension": [extension("practitioner", valueReference=self.author)]}
        return nested_extension(canonical.DTR_INFORMATION_ORIGIN, extension("source", valueCode=source), by)


def _extensions(chart: Chart, guides: Guides) -> list[Json]:
    """What the response is about: 2.2.0 keeps coverage and order apart, 2.0.1 repeats the context."""
    coverage_url = canonical.DTR_COVERAGE if guides is Guides.NEWEST else canonical.DTR_CONTEXT
    order = f"{chart.order['resourceType']}/{chart.order['id']}"
    return [
        extension(coverage_url, valueReference=reference(f"Coverage/{chart.coverage['id']}")),
        extension(canonical.DTR_CONTEXT, valueReference=reference(order)),
        extension(canonical.DTR_INTENDED_USE, valueCodeableConcept=code_concept(guides.reason_codes, "withpa")),
    ]


def _items(items: Sequence[Item], filled: Filled, stamp: _Stamp) -> list[Json]:
    return [made for item in items if (made := _item(item, filled, stamp)) is not None]


def _item(item: Item, filled: Filled, stamp: _Stamp) -> Json | None:
    """The response to an item, None when there is nothing to say: questions inside one hang on its first answer."""
    if item.kind == "display":
        return None
    inner = _items(item.children, filled, stamp)
    values = filled.answers.get(item.link_id, ())
    if not values and (item.is_question or not inner):
        return None
    answers: list[Json] = [
        {"extension": [stamp.on(value, filled.prefilled.get(item.link_id))], **value} for value in values
    ]
    if answers and inner:
        answers[0]["item"] = inner
    return {
        "linkId": item.link_id,
        "text": item.text,
        **({"answer": answers} if answers else {}),
        **({"item": inner} if inner and not item.is_question else {}),
    }
