"""What the patient's record already says about a form's questions, and which of them stay open."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from service.crd.hooks import HookCall
from service.crd.prefetch import structural_faults
from service.crd.reading import object_at, objects_at, text_at
from service.errors import ServiceError
from service.fhir.build import Json
from service.fhir.parse import StructureCheck
from service.policy.model import Pathway
from service.ports import LoadedPolicy, Resource

_LOG: Final = logging.getLogger(__name__)
# Who, where and by whom: records that answer no clinical question.
_ADMINISTRATIVE: Final = frozenset(
    {
        "Patient",
        "Coverage",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "Location",
        "Encounter",
        "Medication",
        "Device",
        "OperationOutcome",
        "Appointment",
        "Task",
    }
)


class ReadChart(Protocol):
    """A form's QuestionnaireResponse.item as a patient's records fill it; None when they could not be read."""

    async def __call__(
        self, loaded: LoadedPolicy, questionnaire: Resource, records: Sequence[Resource], patient_id: str
    ) -> Sequence[Mapping[str, Any]] | None: ...


@dataclass(frozen=True, slots=True)
class ChartView:
    """The form's questions that the policy's criteria need, in its words: (question, answer) pairs, and open ones."""

    answered: tuple[tuple[str, str], ...]
    unanswered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One patient's records as they came; none when there is nothing clinical among them."""

    records: tuple[Resource, ...]
    patient_id: str


def at_hand(call: HookCall, check: StructureCheck) -> tuple[Resource, ...]:
    """The records that came with the call; none, and at no cost, when there is nothing clinical among them."""
    sent: list[Json] = []
    for value in call.prefetch.values():
        if isinstance(value, dict):
            bundled = value.get("resourceType") == "Bundle"
            sent += [object_at(entry, "resource") for entry in objects_at(value, "entry")] if bundled else [value]
    kinds = {text_at(resource, "resourceType") for resource in sent}
    if kinds <= _ADMINISTRATIVE | {None}:
        return ()
    readable = [r for r in sent if text_at(r, "resourceType") and not structural_faults(check, r)]
    return tuple(readable)


async def view_chart(
    chart: Chart, loaded: LoadedPolicy, pathway: Pathway, read: ReadChart, seconds: float
) -> ChartView | None:
    """The view, or None: nothing clinical at hand, not enough time, or logic that failed. Never raises for these."""
    form = loaded.questionnaires.get(pathway.questionnaire)
    if form is None or not chart.records or seconds <= 0:
        return None
    try:
        async with asyncio.timeout(seconds):
            items = await read(loaded, form, chart.records, chart.patient_id)
    except (TimeoutError, ServiceError):
        _LOG.warning("the chart was not read for a card", extra={"policy": loaded.policy.ref.id})
        return None
    if items is None:
        return None
    needed = {link_id for criterion in pathway.criteria for link_id in criterion.link_ids}
    asked = [item for item in _flat({"item": items}) if item.get("linkId") in needed]
    answered = tuple((_text(item), _shown(item)) for item in asked if objects_at(item, "answer"))
    unanswered = tuple(_text(item) for item in asked if not objects_at(item, "answer"))
    return ChartView(answered, unanswered)


def _flat(holder: Mapping[str, Any]) -> Iterator[Json]:
    """Items at any depth, under answers too."""
    for item in objects_at({"item": list(holder.get("item") or ())}, "item"):
        yield item
        yield from _flat(item)
        for answer in objects_at(item, "answer"):
            yield from _flat(answer)


def _text(item: Json) -> str:
    return text_at(item, "text") or str(item.get("linkId"))


def _shown(item: Json) -> str:
    return ", ".join(_value(answer) for answer in objects_at(item, "answer"))


def _value(answer: Json) -> str:
    element = next((name for name in answer if name.startswith("value")), "")
    value = answer.get(element)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if element == "valueCoding":
        coded = object_at(answer, element)
        return text_at(coded, "display") or str(coded.get("code"))
    if element == "valueQuantity":
        quantity = object_at(answer, element)
        return f"{quantity.get('value')} {text_at(quantity, 'unit') or ''}".strip()
    return str(value)
