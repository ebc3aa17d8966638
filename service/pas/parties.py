"""Who a request is about and between: patient, coverage, insurer, providers, and the ids they are known by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from service.fhir.canonical import NPI as NPI_SYSTEM
from service.pas.elements import (
    Json,
    identifier_of,
    identifiers,
    listed,
    member_ids,
    npis,
    object_of,
    text_of,
)
from service.pas.intake import CLAIM, Received, invalid, missing
from service.policy.case import Npi

Ids = frozenset[tuple[str | None, str]]
PROVIDER_TYPES = ("Organization", "Practitioner", "PractitionerRole")


@dataclass(frozen=True, slots=True)
class Parties:
    """The parties as received. `insurer` and `provider` are None when only a logical identifier names them."""

    patient: Json
    coverage: Json
    insurer: Json | None
    provider: Json | None
    patient_references: frozenset[str]
    insurer_ids: Ids
    payor_ids: Ids
    patient_member_ids: frozenset[str]
    coverage_member_ids: frozenset[str]
    provider_npis: frozenset[Npi]


def parties_of(received: Received, member_system: str | None) -> Parties:
    """Resolve the Claim's parties; MissingElement or UnresolvedReference when one that is mandatory is not there."""
    patient = received.party("patient", ("Patient",))
    if patient is None:
        # A patient named by identifier alone leaves nobody to evaluate.
        raise missing(f"{CLAIM}.patient.reference")
    coverage = _coverage(received)
    insurer = received.party("insurer", ("Organization",))
    provider = received.party("provider", PROVIDER_TYPES)
    return Parties(
        patient=patient,
        coverage=coverage,
        insurer=insurer,
        provider=provider,
        patient_references=_patient_references(received, patient),
        insurer_ids=_ids(received.claim["insurer"], insurer),
        payor_ids=_payor_ids(received, coverage),
        patient_member_ids=member_ids(patient, member_system),
        coverage_member_ids=_coverage_member_ids(coverage, member_system),
        provider_npis=frozenset(_provider_npis(received, provider)),
    )


def _coverage(received: Received) -> Json:
    insurances = listed(received.claim, "insurance")
    if not insurances:
        raise missing(f"{CLAIM}.insurance")
    focal = [index for index, insurance in enumerate(insurances) if insurance.get("focal") is True]
    if len(insurances) > 1 and len(focal) != 1:
        raise invalid(f"{CLAIM}.insurance", "must mark exactly one insurance as focal")
    index = focal[0] if focal else 0
    expression = f"{CLAIM}.insurance[{index}].coverage"
    reference = object_of(insurances[index], "coverage")
    if reference is None:
        raise missing(expression)
    coverage = received.target(reference, expression, ("Coverage",))
    if coverage is None:
        raise missing(f"{expression}.reference")
    return coverage


def _patient_references(received: Received, patient: Json) -> frozenset[str]:
    """The fullUrl, and Type/id in both spellings where it means this patient and no other."""
    full_url = received.entries.full_url_of(patient)
    last = full_url.rstrip("/").rpartition("/")[2] if full_url else None
    relative = {f"Patient/{name}" for name in (text_of(patient, "id"), last) if name}
    unique = {text for text in relative if received.entries.resolve(text, within=received.claim) is patient}
    return frozenset(unique | ({full_url} if full_url else set()))


def _ids(reference: Json, organization: Json | None) -> Ids:
    own = {(system, value) for _, system, value in identifiers(organization)} if organization else set()
    logical = identifier_of(reference)
    # An identifier beside the reference counts only where there is no Organization to read: two that disagree
    # would otherwise let either of them stand for the payer.
    return frozenset(own) if organization else frozenset({logical} if logical else ())


def _payor_ids(received: Received, coverage: Json) -> Ids:
    payors = listed(coverage, "payor")
    if len(payors) != 1:
        # PAS allows one payor; with several it is in doubt whose coverage this is, so it is nobody's we know.
        return frozenset()
    organization = received.entries.resolve(payors[0], within=coverage, by_identifier=True)
    if organization is None and text_of(payors[0], "reference") is not None:
        return frozenset()
    return _ids(payors[0], organization)


def _coverage_member_ids(coverage: Json, member_system: str | None) -> frozenset[str]:
    """Identifier of type MB; where it has none with a value, subscriberId (the guide's own examples do so)."""
    own = member_ids(coverage, member_system)
    subscriber = text_of(coverage, "subscriberId")
    return own or frozenset({subscriber.strip()} if subscriber else ())


def _provider_npis(received: Received, provider: Json | None) -> Iterator[Npi]:
    """NPIs of the requesting provider and of the care team; one that is missing is no error (conf-14)."""
    references = [received.claim["provider"]]
    references += [
        member["provider"] for member in listed(received.claim, "careTeam") if object_of(member, "provider")
    ]
    for reference in references:
        yield from _npis_behind(received, reference, within=received.claim)
    if provider is not None:
        yield from (Npi(value) for value in npis(provider))


def _npis_behind(received: Received, reference: Json, within: Json) -> Iterator[Npi]:
    logical = identifier_of(reference)
    if logical and logical[0] == NPI_SYSTEM:
        yield Npi(logical[1])
    resource = received.entries.resolve(reference, within=within, by_identifier=True)
    if resource is None:
        return
    yield from (Npi(value) for value in npis(resource))
    if resource.get("resourceType") != "PractitionerRole":
        return
    for name in ("practitioner", "organization"):
        behind = object_of(resource, name)
        if behind is None:
            continue
        named = identifier_of(behind)
        if named and named[0] == NPI_SYSTEM:
            yield Npi(named[1])
        target = received.entries.resolve(behind, within=resource, by_identifier=True)
        if target is not None:
            yield from (Npi(value) for value in npis(target))
