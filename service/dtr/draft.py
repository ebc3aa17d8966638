"""The draft QuestionnaireResponse: whose it is, for which coverage and order, and the answers so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from service.dtr.versions import Shape
from service.fhir.build import Json, code_concept, extension
from service.fhir.canonical import DTR_CONTEXT, DTR_INTENDED_USE, DTR_QUESTIONNAIRE_RESPONSE

# The answers go with the prior authorization request (CRD ValueSet DocReason).
_INTENDED_USE: Final = ("withpa", "Include in prior authorization")
# dtr-questionnaireresponse 2.0.1 wants two contexts, coverage and order, also where a client asks for a form alone.
_UNIDENTIFIED: Final = "An order that the request for this form did not identify"


@dataclass(frozen=True, slots=True)
class About:
    """What a response is for. All are References as the client's own server understands them."""

    subject: Mapping[str, Any]
    coverages: tuple[Mapping[str, Any], ...]
    orders: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A response in the making: `questionnaire` is the canonical as given out, `authored` an aware time.

    `contained` is an adaptive form as asked so far; the response then refers to that.
    """

    id: str
    questionnaire: str
    about: About
    items: tuple[Json, ...]
    authored: datetime
    contained: Json | None = None


def draft_response(draft: Draft, shape: Shape) -> Json:
    """The QuestionnaireResponse in progress (dtr-questionnaireresponse of the version; never basedOn or partOf)."""
    code, display = _INTENDED_USE
    held = draft.contained
    return {
        "resourceType": "QuestionnaireResponse",
        "id": draft.id,
        "meta": {"profile": [shape.adaptive_response_profile if held else DTR_QUESTIONNAIRE_RESPONSE]},
        **({"contained": [held]} if held else {}),
        "extension": [
            *(extension(shape.coverage_extension, valueReference=dict(c)) for c in draft.about.coverages),
            *(extension(DTR_CONTEXT, valueReference=order) for order in _orders(draft.about, shape)),
            extension(DTR_INTENDED_USE, valueCodeableConcept=code_concept(shape.intended_use_system, code, display)),
        ],
        "questionnaire": f"#{held['id']}" if held else draft.questionnaire,
        "status": "in-progress",
        "subject": dict(draft.about.subject),
        "authored": draft.authored.isoformat(timespec="seconds"),
        **({"item": list(draft.items)} if draft.items else {}),
    }


def _orders(about: About, shape: Shape) -> list[Json]:
    orders = [dict(order) for order in about.orders]
    too_few = len(about.coverages) + len(orders) < shape.context_minimum
    return orders or ([{"display": _UNIDENTIFIED}] if too_few else [])
