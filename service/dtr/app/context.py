"""What an EHR says a launch is about: fhirContext, else appContext; every word of it is untrusted input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

_MOST: Final = 20
_LONGEST: Final = 20_000
_ORDERS: Final = frozenset(
    {
        "Appointment",
        "CommunicationRequest",
        "DeviceRequest",
        "MedicationRequest",
        "NutritionOrder",
        "ServiceRequest",
        "SupplyRequest",
        "VisionPrescription",
    }
)


@dataclass(frozen=True, slots=True)
class LaunchContext:
    """References as received ("Type/id" or absolute), a form's canonical, and CRD's coverage-assertion-id."""

    order: str | None = None
    coverage: str | None = None
    response: str | None = None
    questionnaire: str | None = None
    assertion: str | None = None


def read_context(fhir_context: Any, app_context: Any) -> LaunchContext:
    """fhirContext goes first; what it does not say, appContext may.

    One system sends fhirContext as JSON in a string; appContext is JSON, or encoded like a query, by habit:
    questionnaire, order (a reference, or the order itself as JSON), coverage, response. CRD's own SMART cards use
    the names that launchers of CRD clients read: orderRef, coverageRef, coverageAssertionId, a list of forms.
    """
    by_type: dict[str, str] = {}
    for reference in _references(fhir_context):
        by_type.setdefault(_slot(reference), reference)
    said = _app_context(app_context)
    return LaunchContext(
        order=by_type.get("order") or _order(_first(said, "orderRef", "order", "request")),
        coverage=by_type.get("Coverage") or _text(_first(said, "coverageRef", "coverage")),
        response=by_type.get("QuestionnaireResponse") or _text(said.get("response")),
        questionnaire=_text(_first(said, "questionnaire", "template")),
        assertion=_text(_first(said, "coverageAssertionId", "context", "coverage-assertion-id")),
    )


def _first(said: Mapping[str, Any], *names: str) -> Any:
    """What is said under the first of the names that says anything; of a list, its first member."""
    found = next((value for name in names if (value := said.get(name))), None)
    return found[0] if isinstance(found, list) else found


def _references(fhir_context: Any) -> Iterator[str]:
    listed = _parsed(fhir_context) if isinstance(fhir_context, str) else fhir_context
    for entry in listed[:_MOST] if isinstance(listed, list) else ():
        reference = entry.get("reference") if isinstance(entry, Mapping) else entry
        if isinstance(reference, str) and "/" in reference and len(reference) <= _LONGEST:
            yield reference


def _slot(reference: str) -> str:
    kind = reference.partition("/_history")[0].split("/")[-2]
    return "order" if kind in _ORDERS else kind


def _app_context(app_context: Any) -> Mapping[str, Any]:
    if isinstance(app_context, Mapping):
        return app_context
    if not isinstance(app_context, str) or len(app_context) > _LONGEST:
        return {}
    parsed = _parsed(app_context)
    if isinstance(parsed, Mapping):
        return parsed
    try:
        return {name: values[0] for name, values in parse_qs(app_context, max_num_fields=_MOST).items()}
    except ValueError:
        return {}


def _order(said: Any) -> str | None:
    """A reference, also of an order that was sent whole: the EHR's own record is read, not the copy."""
    parsed = _parsed(said) if isinstance(said, str) and said.lstrip().startswith("{") else said
    if isinstance(parsed, Mapping):
        kind, logical_id = parsed.get("resourceType"), parsed.get("id")
        known = isinstance(kind, str) and kind in _ORDERS and isinstance(logical_id, str)
        return f"{kind}/{logical_id}" if known else None
    text = _text(parsed)
    return text if text and "/" in text and _slot(text) == "order" else None


def _text(said: Any) -> str | None:
    return said if isinstance(said, str) and said else None


def _parsed(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
