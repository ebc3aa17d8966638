"""ClaimResponse.addItem: what is authorized where it differs from the request (PAS 2.2.1, spec-36, spec-37)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.fhir.build import Json, extension, period
from service.fhir.canonical import (
    PAS_ADMINISTRATION_REFERENCE,
    PAS_CERTIFICATION_TYPE,
    PAS_ITEM_CATEGORY,
    PAS_ITEM_TRACE_NUMBER,
    PAS_REQUESTED_SERVICE,
    PAS_REVENUE_CODE,
    PAS_REVIEW_ACTION_CODE,
    PAS_SERVICE_ITEM_REQUEST_TYPE,
)
from service.pas.elements import extensions
from service.pas.response_items import (
    Answered,
    authorized_providers,
    earlier_numbers,
    granted_quantity,
    issue_and_period,
    provider_type,
    reviewed,
    stay_extensions,
)
from service.pas.shape import Rendering
from service.policy.decision import Outcome

_EXTENSION: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-"
# Said of the requested service; said again of the authorized one (2.2.1 profile-claimresponse-base, addItem).
_MIRRORED: Final = (
    PAS_ITEM_TRACE_NUMBER,
    _EXTENSION + "epsdtIndicator",
    _EXTENSION + "nursingHomeResidentialStatus",
    _EXTENSION + "nursingHomeLevelOfCare",
    _EXTENSION + "productOrServiceCodeEnd",
    _EXTENSION + "revenueUnitRateLimit",
    PAS_REQUESTED_SERVICE,
    PAS_SERVICE_ITEM_REQUEST_TYPE,
    PAS_CERTIFICATION_TYPE,
)
_AS_ASKED: Final = ("productOrService", "modifier", "unitPrice")
_PLACES: Final = ("locationCodeableConcept", "locationAddress", "locationReference")


def add_items(lines: list[Answered]) -> list[Json]:
    """One for each modified line; its itemSequence is a list of one (trap 8)."""
    return [_add_item(line) for line in lines if line.line.determination.outcome is Outcome.MODIFIED]


def _add_item(answered: Answered) -> Json:
    item, codes = answered.item, answered.rendering.codes
    made: Json = {
        "extension": list(_extensions(answered)),
        "itemSequence": [answered.line.determination.sequence],
        "provider": [_provider(url, answered.rendering) for url in authorized_providers(answered)],
        **{name: item[name] for name in _AS_ASKED if name in item},
        **_serviced(answered),
        **{name: item[name] for name in _PLACES if name in item},
        "quantity": granted_quantity(answered),
        "adjudication": [
            reviewed(
                extension("number", valueString=answered.line.authorization_number),
                extension(PAS_REVIEW_ACTION_CODE, valueCodeableConcept=codes.review_action(Outcome.APPROVED)),
            )
        ],
    }
    return {name: value for name, value in made.items() if value not in (None, [])}


def _provider(full_url: str, rendering: Rendering) -> Json:
    kind = provider_type(rendering)
    return {"extension": [kind], "reference": full_url} if kind else {"reference": full_url}


def _extensions(answered: Answered) -> Iterator[Json]:
    for url in _MIRRORED:
        yield from extensions(answered.item, url)
    yield from issue_and_period(answered)
    yield from earlier_numbers(answered)
    # What it was asked for by while it waited: nothing is modified but what a reviewer decides.
    yield extension(PAS_ADMINISTRATION_REFERENCE, valueString=answered.line.reference_number)
    if "category" in answered.item:
        yield {"url": PAS_ITEM_CATEGORY, "valueCodeableConcept": answered.item["category"]}
    if "revenue" in answered.item:
        yield {"url": PAS_REVENUE_CODE, "valueCodeableConcept": answered.item["revenue"]}
    yield from stay_extensions(answered)


def _serviced(answered: Answered) -> Json:
    granted = answered.line.determination.granted
    if granted is not None and granted.serviced is not None:
        dates = granted.serviced
        return {"servicedPeriod": period(dates.start.isoformat(), dates.end.isoformat())}
    return {name: answered.item[name] for name in ("servicedDate", "servicedPeriod") if name in answered.item}
