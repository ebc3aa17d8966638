"""PAS 2.2.1 at the wire, where it differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from service.fhir.build import Json, code_concept, extension, identifier, nested_extension, parameter, parameters
from service.fhir.canonical import (
    NPI,
    PAS_AUTHORIZED_PROVIDER_TYPE,
    PAS_CLAIM_RESPONSE_REVIEWER,
    PAS_ERROR_ELEMENT,
    PAS_REVENUE_CODE,
    PAS_TRANSMISSION_IDENTIFIERS,
    PROVIDER_TAXONOMY,
)
from service.pas import elements
from service.pas.shape import Shape
from service.policy.case import Case
from service.policy.decision import Clinician, Outcome

# A reply goes back the way the request came: sender and receiver change places (GS02/03, ISA06/08).
_SWAPPED: Final = {
    "applicationSenderCode": "applicationReceiverCode",
    "applicationReceiverCode": "applicationSenderCode",
    "interchangeSenderID": "interchangeReceiverID",
    "interchangeReceiverID": "interchangeSenderID",
}
_UNDECIDED: Final = frozenset({Outcome.PENDED, Outcome.NOT_COVERED_BY_POLICY, Outcome.ERROR})


def _error_element(element: str, note: int) -> Json:
    return nested_extension(
        PAS_ERROR_ELEMENT, extension("processNote", valuePositiveInt=note), extension("error", valueString=element)
    )


def _provider_type(concept: Json) -> Json:
    return extension(PAS_AUTHORIZED_PROVIDER_TYPE, valueCodeableConcept=concept)


def _revenue(concept: Json) -> Json:
    return extension(PAS_REVENUE_CODE, valueCodeableConcept=concept)


def _root_extensions(claim: Json, case: Case | None) -> list[Json]:
    made = [_transmission(claim), _reviewer(case) if case else None]
    return [one for one in made if one]


def _transmission(claim: Json) -> Json | None:
    received = elements.extension(claim, PAS_TRANSMISSION_IDENTIFIERS)
    if received is None:
        return None
    parts = [
        extension(_SWAPPED[name], valueString=value)
        for part in elements.listed(received, "extension")
        if (name := str(part.get("url"))) in _SWAPPED and (value := elements.text_of(part, "valueString"))
    ]
    # Both application codes are mandatory in the extension: half of it is not sent back.
    whole = {"applicationSenderCode", "applicationReceiverCode"} <= {part["url"] for part in parts}
    return nested_extension(PAS_TRANSMISSION_IDENTIFIERS, *parts) if whole else None


def _reviewer(case: Case) -> Json | None:
    """Who decided; nothing while no line is decided."""
    decisions = [line.determination.decision for line in case.lines]
    decided = [decision for decision in decisions if decision.outcome not in _UNDECIDED]
    if not decided:
        return None
    human = any(decision.by_person for decision in decided)
    person = next((decision.by for decision in decided if isinstance(decision.by, Clinician)), None)
    if person is None:
        return nested_extension(PAS_CLAIM_RESPONSE_REVIEWER, extension("wasHumanReviewedFlag", valueBoolean=human))
    return nested_extension(
        PAS_CLAIM_RESPONSE_REVIEWER,
        extension("wasHumanReviewedFlag", valueBoolean=True),
        extension("reviewerNPI", valueIdentifier=identifier(NPI, person.npi)),
        extension("reviewerSpecialty", valueCodeableConcept=code_concept(PROVIDER_TAXONOMY, person.specialty)),
    )


def _inquiry_answer(
    hits: Sequence[Sequence[Json]],
    bundle: Callable[[list[Json]], Json],
    nothing_found: Json,  # noqa: ARG001 - 2.2.1 says "nothing found" by sending no parameter
) -> Json:
    """One Bundle for each hit; none is Parameters without a parameter (pas.md 1.5, trap 3: named `return`)."""
    return parameters(*(parameter("return", resource=bundle(list(hit))) for hit in hits))


V221: Final = Shape(
    version="2.2.1",
    base="/fhir",
    pended="partial",
    mixed="partial",
    error_element=_error_element,
    provider_type=_provider_type,
    revenue=_revenue,
    root_extensions=_root_extensions,
    inquiry_answer=_inquiry_answer,
    trace_matches=False,
    tells_stay=True,
    adds_items=True,
    tells_whole=True,
)
