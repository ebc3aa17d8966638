"""PAS 2.0.1 at the wire, where it differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from service.fhir.build import Json, extension
from service.fhir.canonical import PAS_ERROR_ELEMENT
from service.pas.shape import Shape
from service.policy.case import Case


def _error_element(element: str, note: int) -> Json:  # noqa: ARG001 - the number of the note has no place in 2.0.1
    return extension(PAS_ERROR_ELEMENT, valueString=element)


def _provider_type(concept: Json) -> Json:
    return extension("providerType", valueCodeableConcept=concept)


def _revenue(concept: Json) -> Json:
    return extension("revenue", valueCodeableConcept=concept)


def _root_extensions(claim: Json, case: Case | None) -> list[Json]:  # noqa: ARG001 - 2.0.1 has none at the root
    return []


def _inquiry_answer(
    hits: Sequence[Sequence[Json]], bundle: Callable[[list[Json]], Json], nothing_found: Json
) -> Json:
    """One Bundle for all hits; its entry is mandatory, so no hit is an OperationOutcome entry (pas.md 1.5)."""
    entries = {entry["fullUrl"]: entry for hit in reversed(hits) for entry in hit}
    first = [entry for hit in hits for entry in hit if entry["resource"]["resourceType"] == "ClaimResponse"]
    rest = [entry for entry in entries.values() if entry["resource"]["resourceType"] != "ClaimResponse"]
    return bundle([*first, *rest] or [nothing_found])


V201: Final = Shape(
    version="2.0.1",
    base="/2.0.1/fhir",
    pended="queued",
    mixed="partial",
    error_element=_error_element,
    provider_type=_provider_type,
    revenue=_revenue,
    root_extensions=_root_extensions,
    inquiry_answer=_inquiry_answer,
    trace_matches=True,
    tells_stay=False,
    adds_items=False,
    tells_whole=False,
)
