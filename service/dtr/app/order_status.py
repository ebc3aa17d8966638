"""An approval onto the order in the EHR: its coverage-information says that the authorization is there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from service.dtr.app.decision import Decision
from service.fhir.build import Json
from service.fhir.canonical import CRD_COVERAGE_INFORMATION
from service.ports import Resource

# What an authorization settles: nothing more has to be documented or asked for (CRD 2.2.1, ext-coverage-information).
_SETTLED: Final = frozenset(
    {"pa-needed", "doc-needed", "doc-purpose", "questionnaire", "info-needed", "satisfied-pa-id", "date", "reason"}
)


def with_decision(order: Resource, decision: Decision, now: datetime) -> Json | None:
    """The order with its coverage-information brought up to date; None when there is nothing to bring.

    Only an approval changes what CRD said: until then the authorization is needed as before.
    """
    extensions = order.get("extension") or ()
    if decision.status != "approved" or not decision.number:
        return None
    if not any(_is_coverage(held) for held in extensions):
        return None
    updated = [_settled(held, decision.number, now) if _is_coverage(held) else held for held in extensions]
    return {**order, "extension": updated}


def _is_coverage(held: Mapping[str, Any]) -> bool:
    return held.get("url") == CRD_COVERAGE_INFORMATION


def _settled(held: Mapping[str, Any], number: str, now: datetime) -> Json:
    kept = [part for part in held.get("extension") or () if part.get("url") not in _SETTLED]
    said = [
        {"url": "pa-needed", "valueCode": "satisfied"},
        {"url": "satisfied-pa-id", "valueString": number},
        {"url": "date", "valueDate": now.date().isoformat()},
    ]
    return {**held, "extension": [*kept, *said]}
