"""What a Claim says it is: a request, a change, a cancellation or an appeal, and how urgent."""

from __future__ import annotations

from typing import Final

from service.determine.request import PriorAuthRequest
from service.fhir.canonical import (
    NDC,
    PAS_CERTIFICATION_TYPE,
    PAS_INFO_CANCELLED,
    PAS_INFO_CHANGED,
    PAS_LEVEL_OF_SERVICE,
)
from service.pas.codes import Codings, X12Codes
from service.pas.elements import Json, codings, extensions, listed, object_of
from service.policy.case import Urgency
from service.policy.determination import Determination
from service.ports import Resource

_MEDICATION_ORDERS: Final = frozenset({"MedicationRequest", "MedicationDispense"})


def cancels(element: Resource, codes: X12Codes) -> bool:
    """Whether the Claim, or an item, says by certification type or by infoCancelled that it is withdrawn.

    Only `true` cancels: senders write the modifier extension with false on what goes on (pas.md trap 9).
    """
    return removed(element) or certifies_cancellation(element, codes)


def removed(element: Resource) -> bool:
    """Whether an item, or supporting information, is marked with infoCancelled."""
    return any(
        extension.get("url") == PAS_INFO_CANCELLED and extension.get("valueBoolean") is True
        for extension in listed(element, "modifierExtension")
    )


def certifies_cancellation(element: Resource, codes: X12Codes) -> bool:
    """Whether the certification type alone says that it is withdrawn."""
    return bool(_types(element) & codes.cancel)


def changed(item: Resource) -> bool:
    """Whether the item says that it is other than in the version before, or new."""
    return any(extension.get("valueCode") in ("changed", "added") for extension in extensions(item, PAS_INFO_CHANGED))


def appeals(claim: Resource, codes: X12Codes) -> bool:
    """Whether the Claim, or an item of it, appeals a decision."""
    return any(_types(element) & codes.appeal for element in (claim, *listed(claim, "item")))


def urgency_of(claim: Json, codes: X12Codes) -> Urgency:
    """Expedited by level of service, certification type or priority; silence is standard (pas.md 1.9)."""
    said = frozenset(codings(object_of(claim, "priority"))).union(
        _concepts(claim, PAS_LEVEL_OF_SERVICE), *(_types(element) for element in (claim, *listed(claim, "item")))
    )
    return Urgency.EXPEDITED if said & codes.urgent else Urgency.STANDARD


def asks_for_drug(request: PriorAuthRequest, determination: Determination) -> bool:
    """Whether any line is a drug: under a policy of ours, by NDC, or behind a medication order."""
    if any(line.policy is not None for line in determination.lines):
        return True
    return any(
        line.code_system == NDC
        or any((order.resource or {}).get("resourceType") in _MEDICATION_ORDERS for order in line.orders)
        for line in request.lines
    )


def _types(element: Resource) -> Codings:
    return _concepts(element, PAS_CERTIFICATION_TYPE)


def _concepts(element: Resource, url: str) -> Codings:
    return frozenset(
        coding for extension in extensions(element, url) for coding in codings(extension.get("valueCodeableConcept"))
    )
