"""CDS Hooks as the clinic's system calls them, and the payer's answer in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from service.demo.chart import Chart
from service.demo.payer import Guides
from service.demo.store import searchset
from service.fhir import canonical
from service.fhir.build import Json, bundle, entry, prune

_COVERED: Final = {
    "covered": "Covered by the plan",
    "not-covered": "Not covered by the plan",
    "conditional": "Coverage depends on more information",
    "indeterminate": "The payer could not tell",
}
_AUTHORIZATION: Final = {
    "no-auth": "No prior authorization is needed",
    "auth-needed": "Prior authorization is needed",
    "satisfied": "An authorization is already on file",
    "performpa": "The performer must ask for prior authorization",
    "conditional": "Whether prior authorization is needed depends on more information",
    "indeterminate": "The payer could not tell whether prior authorization is needed",
}
_DOCUMENTATION: Final = {
    "clinical": "Clinical questions must be answered",
    "admin": "Administrative questions must be answered",
    "both": "Clinical and administrative questions must be answered",
    "patient": "The patient must answer questions",
    "conditional": "Whether questions must be answered depends on more information",
    "indeterminate": "The payer could not tell whether questions must be answered",
}


@dataclass(frozen=True, slots=True)
class Card:
    """A card as shown: its summary, detail and links (label, address)."""

    summary: str
    detail: str
    indicator: str
    source: str
    links: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class CoverageAnswer:
    """Coverage information in words, and what the next step needs of it."""

    statements: tuple[str, ...]
    reasons: tuple[str, ...]
    needs_form: bool
    questionnaires: tuple[str, ...]
    assertion_id: str | None
    expires: str | None


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a hook returned. `order` is the order as the payer updated it, if it did."""

    cards: tuple[Card, ...]
    coverage: tuple[CoverageAnswer, ...]
    order: Json | None


@dataclass(frozen=True, slots=True)
class HookCall:
    """One hook about one chart's order; `instance` is a fresh UUID."""

    hook: str
    chart: Chart
    guides: Guides
    instance: str


def hook_request(call: HookCall, templates: Mapping[str, str]) -> Json:
    """The hook's request with what it wants to be sent along."""
    chart = call.chart
    order = chart.order
    reference = f"{order['resourceType']}/{order['id']}"
    context = {
        "userId": f"Practitioner/{chart.practitioner['id']}",
        "patientId": chart.patient["id"],
        "selections": [reference] if call.hook == "order-select" else None,
        "draftOrders": bundle("collection", [entry(f"{chart.base}/{reference}", order)]),
    }
    return {
        "hook": call.hook,
        "hookInstance": call.instance,
        "context": {name: value for name, value in context.items() if value is not None},
        "prefetch": _prefetch(chart, templates),
        "extension": {canonical.CRD_JSON_REQUESTED_VERSION: call.guides.hook_version},
    }


def read_answer(answer: Json, order: Json) -> HookAnswer:
    """The cards, and what the order's update says about coverage."""
    updated = next(
        (
            action["resource"]
            for action in answer.get("systemActions", ())
            if action.get("type") == "update" and action.get("resource", {}).get("id") == order["id"]
        ),
        None,
    )
    cards = tuple(_card(card) for card in answer.get("cards", ()))
    return HookAnswer(cards, coverage_answers(updated or order), updated)


def coverage_answers(order: Json) -> tuple[CoverageAnswer, ...]:
    """The coverage-information extensions of an order."""
    return tuple(
        _coverage_answer(extension)
        for extension in order.get("extension", ())
        if extension.get("url") == canonical.CRD_COVERAGE_INFORMATION
    )


def _prefetch(chart: Chart, templates: Mapping[str, str]) -> Json:
    """The templates that the chart can answer, by the type of what they ask for; the rest stays away.

    Each is about the patient, the active coverage, or the people and organizations of the order: their queries are
    not evaluated.
    """
    found: dict[str, Sequence[Json]] = {
        "Coverage": [chart.coverage],
        "Practitioner": [chart.practitioner],
        "PractitionerRole": [chart.role],
        "Organization": [chart.payer, chart.clinic],
        "Medication": [],
    }
    sent: Json = {}
    for key, template in templates.items():
        if template.startswith("Patient/"):
            sent[key] = chart.patient
            continue
        kind = template.partition("?")[0]
        if kind in found and "?" in template:
            sent[key] = searchset(found[kind], chart.base)
    return sent


def _card(card: Json) -> Card:
    links = [(link.get("label", link.get("url", "")), link.get("url", "")) for link in card.get("links", ())]
    return Card(
        summary=card.get("summary", ""),
        detail=card.get("detail", ""),
        indicator=card.get("indicator", "info"),
        source=card.get("source", {}).get("label", ""),
        links=tuple((label, url) for label, url in links if url.startswith(("http://", "https://"))),
    )


def _coverage_answer(extension: Json) -> CoverageAnswer:
    parts: dict[str, list[Any]] = {}
    for part in extension.get("extension", ()):
        value = next((value for name, value in part.items() if name.startswith("value")), None)
        parts.setdefault(part.get("url", ""), []).append(value)
    statements = [
        *_in_words(_COVERED, parts.get("covered", ())),
        *_in_words(_AUTHORIZATION, parts.get("pa-needed", ())),
        *_in_words(_DOCUMENTATION, parts.get("doc-needed", ())),
        *(f"Authorization {number}" for number in parts.get("satisfied-pa-id", ())),
    ]
    reasons = [
        concept.get("text") or next((c.get("display") or c.get("code") for c in concept.get("coding", ())), "")
        for concept in prune(parts.get("reason", []))
    ]
    questionnaires = tuple(parts.get("questionnaire", ()))
    return CoverageAnswer(
        statements=tuple(statements),
        reasons=tuple(reason for reason in reasons if reason),
        needs_form=bool(questionnaires) or bool({"clinical", "admin", "both"} & set(parts.get("doc-needed", ()))),
        questionnaires=questionnaires,
        assertion_id=next(iter(parts.get("coverage-assertion-id", ())), None),
        expires=next(iter(parts.get("expiry-date", ())), None),
    )


def _in_words(words: Mapping[str, str], codes: Sequence[Any]) -> list[str]:
    return [words.get(code, f"The payer answered {code}") for code in codes]
