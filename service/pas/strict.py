"""What the PAS profiles demand beyond what answering needs: refused from strict partners, logged from all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.errors import Fault
from service.fhir.bundle import references
from service.fhir.canonical import (
    PAS_CARE_TEAM_CLAIM_SCOPE,
    PAS_CERTIFICATION_TYPE,
    PAS_SERVICE_ITEM_REQUEST_TYPE,
)
from service.pas.elements import Json, codings, extension, listed, object_of, text_of
from service.pas.intake import CLAIM, Received
from service.pas.shape import Version

_TYPES: Final = frozenset({"institutional", "professional", "oral"})
_PLACES: Final = ("locationCodeableConcept", "locationAddress", "locationReference")
_WHOLE_DATE: Final = 10


def profile_faults(received: Received, version: Version) -> tuple[Fault, ...]:
    """Each departure from the request profiles of the version, with its FHIRPath (pas.md 1.1)."""
    return (*_bundle(received.bundle), *_claim(received), *_references(received), *_items(received, version))


def _bundle(bundle: Json) -> Iterator[Fault]:
    for name in ("identifier", "timestamp"):
        if name not in bundle:
            yield _required(f"Bundle.{name}")


def _claim(received: Received) -> Iterator[Fault]:
    claim = received.claim
    numbered = listed(claim, "identifier")
    if not numbered:
        yield _required(f"{CLAIM}.identifier")
    for index, identifier in enumerate(numbered):
        for name in ("system", "value"):
            if text_of(identifier, name) is None:
                yield _required(f"{CLAIM}.identifier[{index}].{name}")
    if not {code for _, code in codings(claim.get("type"))} & _TYPES:
        yield Fault(f"{CLAIM}.type", f"must be one of {', '.join(sorted(_TYPES))}", "code-invalid")
    provider = received.entries.resolve(claim.get("provider"), within=claim, by_identifier=True)
    if provider is not None and provider.get("resourceType") == "Practitioner":
        yield Fault(f"{CLAIM}.provider", "must refer to an Organization or a PractitionerRole", "invalid")
    for index, member in enumerate(listed(claim, "careTeam")):
        if extension(member, PAS_CARE_TEAM_CLAIM_SCOPE) is None:
            yield _required(f"{CLAIM}.careTeam[{index}].extension('{PAS_CARE_TEAM_CLAIM_SCOPE}')")
    for index, insurance in enumerate(listed(claim, "insurance")):
        if insurance.get("focal") is not True:
            yield Fault(f"{CLAIM}.insurance[{index}].focal", "must be true", "value")
        coverage = received.entries.resolve(insurance.get("coverage"), within=claim)
        if coverage is not None and "relationship" not in coverage:
            entry = received.entries.entry_of(coverage)
            yield _required(f"{entry.expression}.relationship" if entry else f"{CLAIM}.insurance[{index}].coverage")


def _references(received: Received) -> Iterator[Fault]:
    """Absolute addresses, fullUrls, or a step from the Claim's own (R4 bundle.html#references): no guessing."""
    base = (received.entries.full_url_of(received.claim) or "").rpartition("/Claim/")[0]
    known = {entry.full_url for entry in received.entries.all_entries}
    for path, reference in references(received.claim):
        text = str(reference["reference"])
        if "://" not in text and not text.startswith(("urn:", "#")) and f"{base}/{text}" not in known:
            yield Fault(path.replace("Claim", CLAIM, 1), "must be the fullUrl of an entry", "value")


def _items(received: Received, version: Version) -> Iterator[Fault]:
    for index, item in enumerate(listed(received.claim, "item")):
        place = f"{CLAIM}.item[{index}]"
        if "category" not in item:
            yield _required(f"{place}.category")
        yield from _dates(item, place)
        if version == "2.0.1":
            continue
        for url in (PAS_SERVICE_ITEM_REQUEST_TYPE, PAS_CERTIFICATION_TYPE):
            if extension(item, url) is None:
                yield _required(f"{place}.extension('{url}')")
        if not any(name in item for name in _PLACES):
            yield _required(f"{place}.location")


def _dates(item: Json, place: str) -> Iterator[Fault]:
    period = object_of(item, "servicedPeriod") or {}
    dates = {
        "servicedDate": item.get("servicedDate"),
        "servicedPeriod.start": period.get("start"),
        "servicedPeriod.end": period.get("end"),
    }
    for name, value in dates.items():
        if isinstance(value, str) and len(value) != _WHOLE_DATE:
            yield Fault(f"{place}.{name}", "must be a whole date, without time", "value")


def _required(expression: str) -> Fault:
    return Fault(expression, "is mandatory in the profile and missing", "required")
